# SPDX-License-Identifier: Apache-2.0
"""Sphinx's settings: `python -m sphinx -W -b html docs site` after `pip install ".[docs]"`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import cnncore

project = "cnncore"
copyright = "the cnncore developers"
version = release = cnncore.__version__

extensions = ["myst_parser", "sphinx.ext.napoleon", "sphinx.ext.autodoc", "public_names", "applications"]
exclude_patterns = ["extensions", "pictures"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"cnncore {version}"
html_static_path = ["images", "style"]
html_css_files = ["pages.css"]
html_theme_options = {"navigation_with_keys": True}
