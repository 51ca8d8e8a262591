import platform
import subprocess
import sys

import pytest
import torch

from skvit._training._memory import halve

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, ...)"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_half_as_many_images_are_tried_next(error):
    assert [halve(size, error) for size in (128, 7, 2)] == [64, 3, 1]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_one_image_cannot_be_halved(error):
    message = "whatever the `batch_size`: use a larger `patch_size`, .* `embed_dim`"
    with pytest.raises(MemoryError, match=message) as caught:
        halve(1, error)
    assert caught.value.__cause__ is error


def test_other_errors_are_raised_as_they_are():
    with pytest.raises(RuntimeError, match="shapes do not match"):
        halve(8, RuntimeError("shapes do not match"))


@pytest.mark.gpu
def test_a_real_lack_of_memory_is_known(device):
    with pytest.raises(torch.OutOfMemoryError, match="out of memory") as caught:
        torch.empty(2**46, device=device)
    assert halve(8, caught.value) == 4


# Takes and frees 16 MiB in four blocks, ten times; prints the pages that were mapped.
STEPS = """
import resource
import numpy as np
from skvit._training._memory import keep_freed_memory
{call}
for number in range(11):
    blocks = [np.ones(2**22, np.uint8) for _ in range(4)]
    del blocks
    if number == 0:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's behaviour")
def test_freed_memory_is_kept_for_the_next_step():
    def count_pages(call):
        command = [sys.executable, "-c", STEPS.format(call=call)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(done.stdout)

    # 160 MiB in pages of 4 KiB are 40,960; of 64 KiB, 2,560
    assert count_pages("keep_freed_memory()") < 100 < count_pages("")
