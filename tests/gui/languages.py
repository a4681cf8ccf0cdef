# SPDX-License-Identifier: GPL-3.0-or-later
"""In a real window: the sidebar in German and Japanese, and once in the light theme. All panels are open, those too that begin closed.

blender-gui.sh gui ... tests/gui/languages.py END.png [FILE.blend]    also writes de.png, ja.png and light.png beside END.png
"""

import os
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))

from live_scene import load_package, make_result

OUT = Path(os.environ["BGUI_OUT"]).parent
LANGUAGES = {"de": "de_DE", "ja": "ja_JP"}
WIDTH = 330


def open_all_panels():
    from splatonym.addon import panels
    from splatonym.addon.panels import output

    output.CLOSED = False
    for cls in panels.CLASSES:
        cls.bl_options = getattr(cls, "bl_options", set()) - {"DEFAULT_CLOSED"}


def steps(ui):
    load_package()
    import splatonym

    open_all_panels()
    splatonym.register()
    if not bpy.data.filepath:
        make_result(3000)
    view = bpy.context.preferences.view
    if not bpy.app.translations.locales:
        print("LANGUAGES none: this Blender has no languages")
        splatonym.unregister()
        return
    yield from ui.open_sidebar("Splatonym", width=WIDTH)
    from splatonym.addon import translations

    for name, locale in LANGUAGES.items():
        view.language = locale
        view.use_translate_interface = view.use_translate_tooltips = view.use_translate_reports = True
        lines = translations.catalogue(name)
        _check(name, lines)
        assert translations.step_text("camera 3 of 12") == lines["camera {} of {}"].format(3, 12)
        assert translations.stage_name("") == translations.step_text("") == ""
        told = lines["{name} ({number} of {count})"].format(name="View.001", number=2, count=10)
        assert translations.step_text("View.001 (2 of 10)") == told
        ui.redraw()
        yield 2.0
        ui.shot(str(OUT / f"{name}.png"))
    view.language = "en_US"
    theme = Path(bpy.utils.preset_paths("interface_theme")[0]) / "Blender_Light.xml"
    bpy.ops.script.execute_preset(filepath=str(theme), menu_idname="USERPREF_MT_interface_theme_presets")
    ui.redraw()
    yield 2.0
    ui.shot(str(OUT / "light.png"))
    splatonym.unregister()
    view.language = LANGUAGES["de"]
    said = bpy.app.translations.pgettext_iface("Predict Labelled Gaussians", "Operator")
    assert said == "Predict Labelled Gaussians", said
    print("LANGUAGES done")


def _check(name, lines):
    """Blender says what the catalogue says, but for the few words that it has itself; in our own context, ours always."""
    from splatonym.addon import translations

    own = {}
    for english, text in lines.items():
        if english.startswith(translations.BUTTON):
            continue
        assert bpy.app.translations.pgettext_iface(english, translations.CONTEXT) == text, english
        for context in ("*", "Operator"):
            said = bpy.app.translations.pgettext_iface(english, context)
            if said != text:
                own[english] = said
    assert len(own) < len(lines) / 20, own
    print(f"LANGUAGES {name}: {len(lines)} lines; Blender's own words for {own}")
