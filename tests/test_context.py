"""Presets."""

import pytest

from gems.context import PRESET_DESCRIPTIONS, PRESETS


def test_no_preset_is_without_a_description():
    assert list(PRESETS) == list(PRESET_DESCRIPTIONS)
    with pytest.raises(TypeError):
        PRESETS["quick"] = {"max_rounds": 2}
