"""`harness import FILE`: a LLaMA-Factory training file becomes overrides for this harness, and what it cannot become is
named with the reason."""

from harness.importing.training_file import Imported, import_training
from harness.importing.verb import import_verb

__all__ = ["Imported", "import_training", "import_verb"]
