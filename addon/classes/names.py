# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a result's collection keeps: read with care, since people can write into custom properties, and written back."""

from __future__ import annotations

import json
from collections.abc import Mapping

import bpy

from ...core.errors import InvalidInput
from ...core.labels import UNLABELLED, LabelMap
from ...core.views import Instance
from ..build.objects import INSTANCES, LABELS, SYNONYMS
from ..build.reading import stored_names

Instances = Mapping[int, Instance]


def read_names(collection: bpy.types.Collection) -> tuple[LabelMap, dict[int, Instance]]:
    """What the numbers on a result's points mean; damaged properties raise InvalidInput."""
    try:
        if not isinstance(json.loads(collection.get(LABELS, "[]")), list):
            raise TypeError("they are no list")
        return stored_names(collection)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"The names that '{collection.name}' keeps are damaged: {error}.", "Undo, or predict again."
        ) from error


def write_names(collection: bpy.types.Collection, labels: LabelMap, instances: Instances) -> None:
    """Keep names, synonyms and instances, as `build_scene` does."""
    collection[LABELS] = json.dumps(labels.names, ensure_ascii=False)
    collection[INSTANCES] = json.dumps([[i.id, i.name, i.class_name] for i in instances.values()], ensure_ascii=False)
    synonyms = [[name, list(words)] for name, words in labels.synonyms.items() if words]
    if synonyms:
        collection[SYNONYMS] = json.dumps(synonyms, ensure_ascii=False)
    elif SYNONYMS in collection:
        del collection[SYNONYMS]


def cleaned(name: str) -> str:
    """A name as a person typed it, without stray white space; an empty one raises InvalidInput."""
    plain = " ".join(name.split())
    if not plain or any(ord(letter) < 32 for letter in plain):
        raise InvalidInput("The name is empty.", "Type what it is: chair.")
    return plain


def same_name(labels: LabelMap, name: str) -> str | None:
    """The label that is called so, whatever its case."""
    return next((own for own in labels.names if own.casefold() == name.casefold()), None)


def known_name(labels: LabelMap, name: str) -> str:
    """As `same_name`; an unknown one raises NotAvailable with the names there are."""
    found = same_name(labels, " ".join(name.split()))
    return labels.names[labels.id_of(name if found is None else found)]


def renamed(labels: LabelMap, old: str, new: str) -> LabelMap:
    """The list with another name in one place; the old one stays as another word for it, so that questions still find it."""
    names = tuple(new if name == old else name for name in labels.names)
    words = {name: more for name, more in labels.synonyms.items() if name != old}
    words[new] = _words(labels, old, but=new)
    return LabelMap(names, without_word(words, new))


def merged(labels: LabelMap, source: str, target: str) -> LabelMap:
    """The list without `source`, which becomes another word for `target`; "unlabelled" stays and is no other word for anything.

    The last name takes the place that is free: so the numbers of all others stay, and hardly any point has to be written.
    """
    if source == UNLABELLED:
        return labels
    words = {name: more for name, more in labels.synonyms.items() if name != source}
    if target != UNLABELLED:
        words[target] = tuple(dict.fromkeys((*labels.synonyms.get(target, ()), *_words(labels, source, but=target))))
    *names, last = labels.names
    if last != source:
        names[names.index(source)] = last
    return LabelMap(tuple(names), words)


def without_word(synonyms: Mapping[str, tuple[str, ...]], name: str) -> dict[str, tuple[str, ...]]:
    """Synonyms in which a name that is a class of its own is no other word for anything."""
    return {own: tuple(w for w in words if w.casefold() != name.casefold()) for own, words in synonyms.items()}


def _words(labels: LabelMap, name: str, but: str) -> tuple[str, ...]:
    words = (*labels.synonyms.get(name, ()), *(() if name == UNLABELLED else (name,)))
    return tuple(word for word in dict.fromkeys(words) if word.casefold() != but.casefold())
