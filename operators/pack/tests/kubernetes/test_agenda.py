"""What is looked at, and how soon again."""

from packline_operator.kubernetes.agenda import FLEET, Agenda


class Monotonic:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def looks(agenda: Agenda, clock: Monotonic, seconds: int, *, waiting: bool) -> int:
    count = 0
    for _ in range(seconds * 10):
        clock.now += 0.1
        due = agenda.take(["a"])
        count += "a" in due
        agenda.looked(due, (), {"a"} if waiting else ())
    return count


def test_all_are_looked_at_first() -> None:
    assert Agenda(20, Monotonic()).take(["a", "b"]) == {"a", "b", FLEET}


def test_what_is_settled_rests() -> None:
    clock = Monotonic()
    assert looks(Agenda(20, clock), clock, 200, waiting=False) in {10, 11}


def test_what_waits_is_looked_at_ever_more_rarely() -> None:
    """A Pack whose training failed stays so for days: it must not be asked for each second."""
    clock = Monotonic()
    assert looks(Agenda(20, clock), clock, 200, waiting=True) in range(40, 44)


def test_a_change_wakes_one_pack_at_once() -> None:
    clock = Monotonic()
    agenda = Agenda(20, clock)
    agenda.looked(agenda.take(["a", "b"]), (), ())
    assert agenda.take(["a", "b"]) == set()
    agenda.wake("b")
    assert agenda.take(["a", "b"]) == {"b"}
    agenda.wake(None)
    assert agenda.take(["a", "b"]) == {"a", "b", FLEET}


def test_what_moves_is_followed() -> None:
    clock = Monotonic()
    agenda = Agenda(20, clock)
    agenda.looked(agenda.take(["a"]), {"a"}, {"a"})
    clock.now += 1.01
    assert agenda.take(["a"]) == {"a"}


def test_what_was_deleted_is_forgotten() -> None:
    clock = Monotonic()
    agenda = Agenda(20, clock)
    agenda.looked(agenda.take(["a"]), (), ())
    agenda.take([])
    assert agenda.take(["a"]) == {"a"}


def test_it_sleeps_until_something_is_due() -> None:
    clock = Monotonic()
    agenda = Agenda(0.05, clock)
    agenda.looked(agenda.take([]), (), ())
    agenda.sleep()
    agenda.wake("a")
    agenda.sleep()
    assert agenda.take(["a"]) == {"a"}


def test_a_change_does_not_wait_for_a_round_over_all() -> None:
    clock = Monotonic()
    agenda, names = Agenda(20, clock), [f"p{number}" for number in range(50)]
    seen: list[str] = []
    agenda.wake("p49")
    first = agenda.take(names)
    assert "p49" in first and len(first) <= 9
    while due := first or agenda.take(names):
        agenda.looked(due, (), ())
        agenda.sleep()
        seen += due
        first = set()
        if len(set(seen)) == 51:
            break
    assert set(seen) == {*names, FLEET} and len(seen) == len(set(seen))
