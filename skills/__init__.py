"""Skills: instructions for better prompts, one folder each, and the tools with which the planner loads them."""

from ..errors import SkillError
from .author import new, validate
from .library import SkillLibrary
from .skill import Skill, SkillProblem
from .tools import skill_tools

__all__ = ["Skill", "SkillError", "SkillLibrary", "SkillProblem", "new", "skill_tools", "validate"]
