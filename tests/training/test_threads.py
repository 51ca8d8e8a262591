import multiprocessing
import os
import threading
import time

import pytest
import torch

from skvit._training._threads import all_cores

CPU = torch.device("cpu")


def run_at_once(device, n_threads=4):
    """Return the largest number of threads that were inside at once."""
    inside, most = [], []

    def work():
        for _ in range(3):
            with all_cores(device):
                inside.append(None)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 3 * n_threads
    return max(most)


def test_threads_never_overlap_on_the_cpu():
    assert run_at_once(CPU) == 1


def test_threads_overlap_on_an_accelerator():
    assert run_at_once(torch.device("cuda")) > 1


def test_one_thread_may_enter_again():
    with all_cores(CPU), all_cores(CPU):
        pass


@pytest.mark.parametrize(("n_values", "n_threads"), [(2**17 - 1, 1), (2**17, 2)])
def test_little_work_is_done_in_one_thread(n_values, n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with all_cores(CPU, n_values):
            assert torch.get_num_threads() == n_threads
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_lets_the_next_one_in():
    with pytest.raises(RuntimeError, match="inside"), all_cores(CPU):
        raise RuntimeError("inside")
    assert run_at_once(CPU) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_its_parents_threads():
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with all_cores(CPU):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    child = multiprocessing.get_context("fork").Process(target=run_at_once, args=(CPU,))
    child.start()
    child.join(20)
    leave.set()
    holder.join()
    assert child.exitcode == 0
