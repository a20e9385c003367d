"""How the site is built: `sphinx-build -W --keep-going -n -b html docs docs/_build`, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import gems

project = "GEMS"
author = "the authors of GEMS"
version = release = gems.__version__
html_title = f"GEMS {release}"

extensions = [
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "sphinx_copybutton", "sphinx_design"),
    "gems_docs",
]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
nitpick_ignore = [("py:class", "Path")]  # of modules that import it for type checkers only

default_role = "py:obj"  # in docstrings the house writes names in single backticks: those that are documented become links
highlight_language = "sh"
smartquotes = False  # it makes a dash of the two hyphens of an option
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
autodoc_type_aliases = {"Event": "gems.Event"}  # not all of its types, one by one
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["gems.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#6639ba", "color-brand-content": "#6639ba"},
    "dark_css_variables": {"color-brand-primary": "#b394f4", "color-brand-content": "#b394f4"},
}
copybutton_exclude = ".linenos, .gp, .go"
