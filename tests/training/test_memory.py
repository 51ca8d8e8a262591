import pytest
import torch

from skvit._training._memory import halve

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
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
