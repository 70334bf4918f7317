"""Ctrl-C at a bad moment: what was begun is stopped, what is being stopped is not disturbed."""

import os
import signal

import pytest

from replicas import interrupts
from replicas.interrupts import Interrupted


def ask_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_signal_interrupts_and_the_next_ones_change_nothing() -> None:
    with interrupts.installed():
        with pytest.raises(Interrupted) as caught:
            ask_to_stop()
        ask_to_stop()
    assert caught.value.exit_code == 130


def test_what_has_begun_in_a_shield_is_finished_first() -> None:
    done = []

    def begin() -> None:
        with interrupts.shielded():
            ask_to_stop()
            done.append("noted for stopping")
        done.append("never reached")

    with interrupts.installed(), pytest.raises(Interrupted):
        begin()
    assert done == ["noted for stopping"]


def test_once_everything_is_being_stopped_no_signal_interrupts() -> None:
    with interrupts.installed():
        interrupts.end()
        with interrupts.shielded():
            ask_to_stop()
        ask_to_stop()


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
