import numpy as np

from ensemble.cascade.confidence import Confidence
from ensemble.cascade.plans import Plan, is_cheaper, share_of, simplified


def test_simplified_drops_stages_that_nobody_leaves_or_reaches():
    plan = Plan(((0,), (1,), (2,), (3,)), (0.0, 0.5, np.inf), Confidence.MARGIN)
    assert simplified(plan) == Plan(((0, 1), (2,)), (0.5,), Confidence.MARGIN)


def test_share_of_counts_what_each_image_passed():
    plan = Plan(((1,), (0,)), (0.3,), Confidence.MAXIMUM)
    # Two of four images leave after the second network, which costs 1 of 4.
    share = share_of(plan, np.array([0, 0, 1, 1]), np.array([3.0, 1.0]))
    assert share == (2 * 0.25 + 2 * 1.0) / 4
    assert is_cheaper(plan, 2) and not is_cheaper(Plan(((0, 1),), (), Confidence.MAXIMUM), 2)
    assert is_cheaper(Plan(((1,),), (), Confidence.MAXIMUM), 2)
