"""Soups: the mean of the weights of trainings that started from the same ones, as one run.

`ingredients.py` finds the weights and refuses those whose mean would be no network; `mixing.py`
chooses among them and says, on held-out images, whether the mean beats the best of them.
"""

from typing import TYPE_CHECKING

from orchard.lazy import attach

if TYPE_CHECKING:
    from ensemble.souping.ingredients import Ingredient, Pantry, find_ingredients
    from ensemble.souping.mixing import Recipe, Soup, make_soup

__all__ = ["Ingredient", "Pantry", "Recipe", "Soup", "find_ingredients", "make_soup"]

__getattr__, __dir__ = attach(__name__)
