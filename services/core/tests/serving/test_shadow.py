"""How much of a busy replica's time a shadow takes."""

from packline_core.serving.shadow import ShadowBudget


def test_a_tenth_of_busy_time() -> None:
    now = 0.0
    budget = ShadowBudget(lambda: now)
    spent = 0.0
    for _ in range(10_000):
        now += 0.1
        if budget.allows():
            budget.spend(0.5)
            spent += 0.5
    assert 0.09 < spent / now < 0.11


def test_debt_is_bounded() -> None:
    now = 0.0
    budget = ShadowBudget(lambda: now)
    budget.spend(1000)
    assert not budget.allows()
    now = 25.0
    assert budget.allows()
