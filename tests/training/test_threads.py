import multiprocessing
import os
import threading
import time

import pytest
import torch

from skvit._training._threads import Team, all_cores, split_evenly, team_of_cores
from skvit.nn import ViTConfig

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


CONFIG = ViTConfig((16, 16), (2, 2), 1, 2, 64, 2, 2)  # 64 tokens of width 64
MANY = 32  # images


@pytest.mark.parametrize(
    ("n_threads", "n_images", "shares", "size", "each"),
    [
        (1, MANY, True, 1, 1),
        (2, MANY, True, 2, 1),
        (3, MANY, True, 3, 1),
        (5, MANY, True, 1, 5),
        (6, MANY, True, 3, 2),
        (8, MANY, True, 4, 2),
        (2, MANY, False, 1, 2),
        (8, MANY - 1, True, 1, 1),
        (8, MANY - 1, False, 1, 1),
    ],
)
def test_teams_take_the_cores_and_no_more(
    one_thread, n_threads, n_images, shares, size, each
):
    torch.set_num_threads(n_threads)
    with team_of_cores(CPU, CONFIG, n_images, shares) as team:
        assert team.size == size
        taken = team.map(lambda _: torch.get_num_threads(), 0, 100)
        assert taken == [each] * size
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize(
    ("n_images", "size", "each"), [(1, 1, 8), (2, 2, 4), (3, 2, 4), (4, 4, 2)]
)
def test_threads_share_the_layers_of_a_few_large_images(
    one_thread, n_images, size, each
):
    torch.set_num_threads(8)
    large = ViTConfig((64, 64), (4, 4), 3, 2, 192, 2, 2)
    with team_of_cores(CPU, large, n_images) as team:
        assert (team.size, torch.get_num_threads()) == (size, each)


def test_an_accelerator_has_one_thread_and_leaves_torchs_alone(one_thread):
    torch.set_num_threads(2)
    with team_of_cores(torch.device("cuda"), CONFIG, MANY) as team:
        assert team.size == 1
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 64])
def test_parts_are_even_and_in_order(n, size):
    numbers = range(100)
    parts = [numbers[part] for part in split_evenly(7, 7 + n, size)]
    assert [number for part in parts for number in part] == list(range(7, 7 + n))
    lengths = [len(part) for part in parts]
    assert len(parts) == min(n, size)
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_team_works_at_once_and_answers_in_order(size):
    together = threading.Barrier(size)

    def compute(part):
        together.wait(30)  # passes only where all are inside
        return part.start, threading.get_ident()

    with Team(size) as team:
        starts, threads = zip(*team.map(compute, 0, 60), strict=True)
    assert list(starts) == [60 * place // size for place in range(size)]
    assert threads[0] == threading.get_ident()
    assert len(set(threads)) == size


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_is_raised_when_all_parts_have_ended(failing):
    ended = []

    def compute(part):
        if part.start == failing:
            raise RuntimeError("inside")
        time.sleep(0.02)
        ended.append(part.start)

    with Team(3) as team:
        with pytest.raises(RuntimeError, match="inside"):
            team.map(compute, 0, 3)
        assert sorted(ended) == sorted({0, 1, 2} - {failing})


@pytest.mark.parametrize("mode", [True, False])
def test_a_team_keeps_gradients_where_the_calling_thread_does(mode):
    with Team(3) as team, torch.set_grad_enabled(mode):
        assert team.map(lambda _: torch.is_grad_enabled(), 0, 3) == [mode] * 3


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


def assert_one_thread():
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_computes_in_one_thread(one_thread):
    torch.set_num_threads(2)
    child = multiprocessing.get_context("fork").Process(target=assert_one_thread)
    child.start()
    child.join(20)
    assert child.exitcode == 0
