"""Ctrl-C and SIGTERM: the first ends the run after its step, the second at once; both leave a run that goes on."""

import signal
import subprocess
import sys
import time

import pytest

from gems import Gems

WORK = """
import sys, time
import gems
from gems.commands.options import SessionArgs
from gems.commands.run_session import run_session
from gems.tests.conftest import Sketcher

class Slow(Sketcher):
    def generate(self, requests):
        print("drawing", flush=True)
        time.sleep(float(sys.argv[1]))
        return super().generate(requests)

run_session(SessionArgs(as_json=True), lambda **session: gems.run(
    "three red circles above a blue square", thread="t", image=Slow(1.0), preset="paper", max_rounds=3, **session))
"""


@pytest.fixture
def drawing():
    """Start a run in a process of its own; it is drawing its first image when this returns."""
    processes = []

    def start(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout.readline() == "drawing\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_the_run_after_its_step(drawing, number):
    process = drawing(1.0)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopping after the current step; press Ctrl-C again to stop at once" in err
    assert "stopped after a finished step: resume it with `gems resume t`" in err
    assert [past.standing for past in Gems().list()] == ["unfinished"]
    assert Gems().get("t").state.round == 1  # the image that was being drawn is there


def test_the_second_signal_ends_the_process_at_once(drawing):
    process = drawing(60.0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert "stopped at once: resume it with `gems resume t`" in err
    assert [past.standing for past in Gems().list()] == ["unfinished"]
