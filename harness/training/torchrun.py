"""`python -m harness.training.torchrun ...`: torchrun that dies with the harness, and its processes with it."""

from harness import in_child

if __name__ == "__main__":
    in_child.die_with_parent()
    from torch.distributed.run import main

    main()
