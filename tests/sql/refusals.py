"""Every refusal of the calls that people make: how to provoke it, its SQLSTATE,
and what it must name.
"""

from .refused_options import OPTIONS
from .refused_recipes import RECIPES
from .refused_statements import PLANS, STATEMENTS, STEPS
from .refused_steering import QUEUES, SCHEDULES, STEERING
from .refused_tasks import TASKS

ALL = (*PLANS, *TASKS, *OPTIONS, *STEERING, *QUEUES, *STATEMENTS, *STEPS, *RECIPES, *SCHEDULES)
