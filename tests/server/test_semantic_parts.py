# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments, things and codebooks: each against what it must be for data whose truth is known."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.codebook import spread
from splatonym.server.semantics import instances
from splatonym.server.semantics.codebook import pairs, shortened
from splatonym.server.semantics.instances import ViewRegions, join, merged
from splatonym.server.semantics.segments import oklab, segments
from splatonym.server.semantics.votes import added_up, heaviest
from splatonym.tests import synthetic

# Segments


def agreement(found, true):
    """Share of the pixels in regions of which most are of the pixel's own thing."""
    table = np.zeros((found.max() + 1, true.max() + 1), int)
    np.add.at(table, (found.reshape(-1), true.reshape(-1)), 1)
    return table.max(1).sum() / table.sum()


@pytest.mark.parametrize("with_depth", [True, False])
def test_segments_keep_things_apart(with_depth):
    for view in synthetic.views(3, (96, 96)):
        found = segments(view if with_depth else replace(view, depth=None))
        assert found.shape == view.rgb.shape[:2] and found.dtype == np.int32 and found.min() >= 1
        assert 3 <= len(np.unique(found)) <= 200
        assert agreement(found, view.index) > (0.97 if with_depth else 0.9)


def test_a_plain_picture_is_one_region():
    view = synthetic.views(1, (40, 40))[0]
    plain = replace(view, rgb=np.full((40, 40, 3), 90, np.uint8), depth=None)
    assert (segments(plain) == 1).all()


def test_pixels_without_depth_belong_to_nothing():
    view = synthetic.views(1, (48, 48))[0]
    depth = view.depth.copy()
    depth[:10] = 0
    found = segments(replace(view, depth=depth))
    assert (found[:10] == 0).all() and (found[10:] > 0).all()


def test_oklab_of_greys_and_of_red():
    grey = oklab(np.array([[0, 0, 0], [255, 255, 255], [119, 119, 119]], np.uint8))
    assert np.allclose(grey[:2, 0], [0, 1], atol=1e-3) and np.abs(grey[:, 1:]).max() < 1e-3
    assert np.allclose(oklab(np.array([255, 0, 0], np.uint8)), [0.628, 0.2249, 0.1258], atol=2e-3)  # Ottosson's table


# Things


def view_of(regions, pixels=100, vectors=None, fixed=None):
    """A view whose region k shows the Gaussians of list k, with weight 1 each."""
    gaussian = np.concatenate([np.array(some, np.int64) for some in regions])
    region = np.concatenate([np.full(len(some), k, np.int64) for k, some in enumerate(regions)])
    return ViewRegions(gaussian, region, np.ones(len(gaussian)), np.full(len(regions), pixels), vectors, fixed)


def test_regions_that_show_the_same_gaussians_are_one_thing():
    a, b, c = range(0, 50), range(50, 100), range(100, 150)
    things = join([view_of([a, b]), view_of([b, c]), view_of([range(10, 60), range(110, 150)])], 150)
    assert things.count == 3
    assert things.of[0][1] == things.of[1][0], "b"
    assert things.of[2][0] == things.of[0][0] and things.of[2][1] == things.of[1][1], "most of it is a, and c"


def test_parts_of_a_thing_join_it_and_a_region_over_two_things_does_not_join_them():
    a, b = range(0, 60), range(60, 100)
    whole = view_of([a, b])
    parts = view_of([range(0, 30), range(30, 60), b])
    both = view_of([range(0, 100)])
    things = join([whole, whole, parts, both], 100)
    assert things.of[2][0] == things.of[2][1] == things.of[0][0] and things.of[0][0] != things.of[0][1]


def test_known_numbers_decide_alone():
    things = join([view_of([range(5), range(5, 9)], fixed=np.array([7, 3])), view_of([range(2, 8)], fixed=np.array([7]))], 10)
    assert things.numbers.tolist() == [3, 7] and things.of[0].tolist() == [1, 0] and things.of[1].tolist() == [1]


def test_unlike_regions_need_more_overlap():
    like, unlike = np.array([[1.0, 0]], np.float32), np.array([[0.0, 1]], np.float32)

    def joined(vectors):
        things = join([view_of([range(100)], vectors=like), view_of([[*range(60), *range(100, 140)]], vectors=vectors)], 140)
        return things.of[0][0] == things.of[1][0]

    assert joined(like) and not joined(unlike)


def test_nothing_to_join():
    assert join([], 5).count == 0
    nothing = join([view_of([[]]), view_of([range(5)])], 5)
    assert nothing.count == 2 and nothing.gaussian.tolist() == [0, 1, 2, 3, 4] and (nothing.thing == 1).all()


def by_hand(views, vectors=True):
    """What `join` does, word by word, with dictionaries: the thing of each (view, region), and the claims."""
    entries = [list(zip(v.gaussian.tolist(), v.region.tolist(), v.weight.tolist(), strict=True)) for v in views]
    thing, count = {}, 0

    def owners(without):
        claims = defaultdict(lambda: defaultdict(float))
        for place, some in enumerate(entries):
            for g, region, weight in some:
                if place != without and (place, region) in thing:
                    claims[g][thing[place, region]] += weight
        return {g: min(mine, key=lambda t: (-mine[t], t)) for g, mine in claims.items()}

    def said(number, without=None):
        mine = [key for key in thing if thing[key] == number and key[0] != without]
        return sum(views[a].pixels[r] ** 0.5 * views[a].vectors[r].astype(float) for a, r in mine)

    def shared(place):
        owner, out = owners(place), defaultdict(lambda: defaultdict(float))
        for g, region, weight in entries[place]:
            if g in owner:
                out[region][owner[g]] += weight
        return out

    def alike(one, other):
        return not vectors or one @ other >= instances.LEAST_LIKENESS * np.linalg.norm(one) * np.linalg.norm(other)

    for _ in range(instances.ROUNDS):
        for place, view in enumerate(views):
            owned, now = shared(place), {}
            for region in range(len(view.pixels)):
                total, mine = sum(w for _, r, w in entries[place] if r == region), owned[region]
                best, seen = min(mine, key=lambda t: (-mine[t], t), default=None), sum(mine.values())
                if best is None or seen < instances.LEAST_KNOWN * total or mine[best] < instances.LEAST_OVERLAP * seen:
                    continue
                enough = mine[best] >= 2 * instances.LEAST_OVERLAP * total
                if not vectors or enough or alike(said(best, place), view.vectors[region]):
                    now[region] = best
            for region in range(len(view.pixels)):
                before = thing.get((place, region))
                if region not in now and before is not None and before not in now.values():
                    now[region] = before
                elif region not in now:
                    now[region], count = count, count + 1
            thing.update({(place, region): number for region, number in now.items()})

    together, both = defaultdict(float), defaultdict(float)
    for place, view in enumerate(views):
        shows = shared(place)
        for _, region, weight in entries[place]:
            shows[region][thing[place, region]] += weight
        whole = defaultdict(float)
        for region in range(len(view.pixels)):
            for a, much in shows[region].items():
                whole[a] += much
                for b, more in shows[region].items():
                    together[a, b] += much * more
        for a, much in whole.items():
            for b, more in whole.items():
                both[a, b] += much * more
    while True:
        numbers = sorted(set(thing.values()))
        pairs = [(a, b) for a in numbers for b in numbers if a < b and both[a, b] > 0]
        rates = {(a, b): together[a, b] / both[a, b] for a, b in pairs if not vectors or alike(said(a), said(b))}
        first, second = max(rates, key=lambda pair: rates[pair], default=(None, None))
        if first is None or rates[first, second] < instances.LEAST_AGREEMENT:
            break
        for table in (together, both):
            for a in numbers:
                table[first, a] += table[second, a]
            for a in numbers:
                table[a, first] += table[a, second]
        thing = {key: first if number == second else number for key, number in thing.items()}
    claims = defaultdict(float)
    for place, some in enumerate(entries):
        for g, region, weight in some:
            claims[g, numbers.index(thing[place, region])] += weight
    return {key: numbers.index(number) for key, number in thing.items()}, claims


def random_views(seed, vectors):
    """Views of a line of Gaussians, cut up differently by each, some of the Gaussians on both sides of a cut."""
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(rng.integers(2, 6)):
        start, stop = np.sort(rng.choice(np.arange(0, 61, 5), 2, replace=False))
        gaussian = np.arange(start, stop)
        cuts = np.sort(rng.integers(start, stop + 1, rng.integers(0, 4)))
        region = np.searchsorted(cuts, gaussian, side="right")
        near = rng.random(len(gaussian)) < 0.2
        gaussian, region = np.append(gaussian, gaussian[near]), np.append(region, (region[near] + 1) % (len(cuts) + 1))
        told = rng.normal([1, 1, 1], 0.6, (len(cuts) + 1, 3)).astype(np.float32)
        told /= np.linalg.norm(told, axis=1, keepdims=True)
        order = rng.permutation(len(gaussian))  # nobody promised an order
        weight = rng.random(len(gaussian)) + 0.01
        pixels = rng.integers(1, 99, len(told))
        views.append(ViewRegions(gaussian[order], region[order], weight[order], pixels, told if vectors else None))
    return views


@pytest.mark.parametrize("vectors, overlap", [(True, instances.LEAST_OVERLAP), (False, 0.7)])
def test_joining_is_what_it_says(vectors, overlap, monkeypatch):
    monkeypatch.setattr(instances, "LEAST_OVERLAP", overlap)
    merges = 0
    for seed in range(60):
        views = random_views(seed, vectors)
        things = join(views, 60)
        thing, claims = by_hand(views, vectors)
        assert {(a, r): t for a, mine in enumerate(things.of) for r, t in enumerate(mine.tolist())} == thing, seed
        found = dict(zip(zip(things.gaussian.tolist(), things.thing.tolist(), strict=True), things.weight, strict=True))
        assert found.keys() == claims.keys() and all(np.isclose(found[key], claims[key]) for key in claims)
        assert things.numbers.tolist() == list(range(1, things.count + 1))
        with monkeypatch.context() as patch:
            patch.setattr(instances, "LEAST_AGREEMENT", 9)
            merges += join(views, 60).count - things.count
    assert merges > 10, "this case shows that things are merged, too"


def test_large_regions_are_looked_at_in_part(monkeypatch):
    views = [view_of([range(0, 700), range(700, 1000)]), view_of([range(100, 690), range(690, 1000)])]
    whole = join(views, 1000)
    monkeypatch.setattr(instances, "PLACES_MOST", 20)
    part = join(views, 1000)
    assert part.count == whole.count == 2 and [mine.tolist() for mine in part.of] == [[0, 1], [0, 1]]
    assert np.array_equal(part.weight, whole.weight), "what is claimed is claimed in full"


def test_joining_can_be_stopped():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join([view_of([range(5)])], 5, stop)


def test_things_that_views_show_as_one_become_one_unless_they_are_unlike():
    together = np.array([[9.0, 4, 0, 0], [4, 9, 0, 4], [0, 0, 9, 1], [0, 4, 1, 9]])
    both = np.full((4, 4), 10.0)
    said = np.ones((4, 2))
    assert merged(together.copy(), both.copy(), said.copy()).tolist() == [0, 0, 1, 2], "4 and 0 of 20 are too few for the last"
    said[1] = [1, -1]
    assert merged(together.copy(), both.copy(), said.copy()).tolist() == [0, 1, 2, 3]
    assert merged(together, both, np.zeros((4, 0))).tolist() == [0, 0, 1, 2], "nothing was said"


# Votes


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(1, 30), st.integers(1, 9))
def test_votes_are_added_up_and_the_heaviest_found(seed, parts, gaussians, numbers):
    rng = np.random.default_rng(seed)
    votes, sums = [], defaultdict(float)
    for _ in range(parts):
        n = rng.integers(0, 60)
        g, number, weight = rng.integers(0, gaussians, n), rng.integers(0, numbers, n) * 400_000_000, rng.integers(1, 5, n) / 2
        votes.append((g.astype(np.int32), number, weight.astype(np.float32)))
        for key in zip(g.tolist(), number.tolist(), weight.tolist(), strict=True):
            sums[key[:2]] += key[2]
    g, number, weight = added_up(*votes)
    assert list(zip(g.tolist(), number.tolist(), strict=True)) == sorted(sums)
    assert weight.tolist() == [sums[key] for key in sorted(sums)]
    for order in (np.arange(len(g)), rng.permutation(len(g))):
        found = heaviest(g[order], weight[order])
        best = {
            k: max((w, -place) for place, (one, w) in enumerate(zip(g[order], weight[order], strict=True)) if one == k)
            for k in g
        }
        assert {int(g[order][place]): (weight[order][place], -place) for place in found} == best


# Codebooks


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_pairs_are_the_heaviest_and_add_up(count, words, seed):
    rng = np.random.default_rng(seed)
    dense = rng.random((count, words)) * (rng.random((count, words)) < 0.6)
    gaussian, word = np.nonzero(dense)
    index, weight = pairs(count, gaussian, word, dense[gaussian, word])
    for k in range(count):
        order = np.argsort(-dense[k], kind="stable")[:4]
        order = order[dense[k][order] > 0]
        assert index[k, : len(order)].tolist() == order.tolist() and not weight[k, len(order) :].any()
        if len(order):
            shares = dense[k][order] / dense[k][order].sum()
            assert weight[k].sum() == 255 and np.abs(weight[k, : len(order)] / 255 - shares).max() < 2 / 255


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 40), st.integers(0, 9), st.sampled_from([None, 0, 1, 3]))
def test_scores_are_spread_as_weighted_means(seed, count, words, columns):
    rng = np.random.default_rng(seed)
    word = rng.integers(0, max(words, 1), (count, 4)).astype(np.uint8)
    share = -np.sort(-rng.integers(0, 100, (count, 4)) * rng.integers(0, 2, (count, 4)), axis=1).astype(np.uint8)
    scores = rng.random((words,) if columns is None else (words, columns)).astype(np.float32)
    found = spread(word, share, scores)
    assert found.shape == (count, *scores.shape[1:]) and found.dtype == np.float32
    for k in range(count if words else 0):
        assert np.allclose(found[k], sum(share[k, p] / 255 * scores[word[k, p]] for p in range(4)), atol=1e-6)


def test_many_scores_are_spread_in_parts():
    rng = np.random.default_rng(0)
    word, share = rng.integers(0, 5, (70_000, 4)).astype(np.uint8), np.full((70_000, 4), 50, np.uint8)
    scores = rng.random((5, 7)).astype(np.float32)
    assert np.allclose(spread(word, share, scores), scores[word].sum(1) * 50 / 255, atol=1e-6)


def test_a_long_codebook_is_shortened_to_its_heaviest_words():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((10, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[9] = vectors[2]  # light, and just like the heavy word 2
    weight = np.array([9.0, 8, 7, 6, 5, 0.1, 0.1, 0.1, 0.1, 0.1])
    specific, context, word_of = shortened(vectors, vectors, weight, most=5)
    assert np.array_equal(specific, vectors[:5]) and np.array_equal(context, vectors[:5])
    assert word_of[:5].tolist() == [0, 1, 2, 3, 4] and word_of[9] == 2
    assert shortened(vectors, vectors, weight)[2].tolist() == list(range(10))
