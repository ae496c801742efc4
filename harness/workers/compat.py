"""Known faults of pinned libraries: each with its reason and what makes the workaround unnecessary.

`python -m harness.workers.compat train train.yaml` is `llamafactory-cli train train.yaml` with these repairs and
nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock


def prepare_imports() -> None:
    """Make transformers and llamafactory importable beside a torch that torchvision and torchaudio were not built for.

    The package index has both only as CUDA builds. Beside a CPU build of torch `import torchvision` fails (`operator
    torchvision::nms does not exist`) and takes transformers down; `import torchaudio` fails on a CUDA library, and
    llamafactory 0.9.5 imports it at the top of data/mm_plugin.py although text never needs it. Unnecessary as soon as
    both import. Call before transformers is imported.
    """
    # transformers asks importlib.util.find_spec, which wants a spec of every loaded module.
    stub = ModuleType("torchaudio")
    stub.__spec__ = ModuleSpec("torchaudio", loader=None)
    # None: "not installed", to every later import.
    for name, instead in {"torchvision": None, "torchaudio": stub}.items():
        try:
            importlib.import_module(name)
        except Exception:
            for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == name]:
                del sys.modules[loaded]
            sys.modules[name] = instead  # type: ignore[assignment]


@contextmanager
def compiled_at_first_call() -> Iterator[None]:
    """Have functions that the body wraps in torch.compile compiled once they are called.

    bitsandbytes 0.50.2 wraps a kernel for processors when it is imported, which brings along torch's compiler: 1 to 2
    of 10 seconds of imports, for processes most of which never call it. Unnecessary once it waits for a call.
    """
    torch = importlib.import_module("torch")
    compiled = torch.compile

    def wrap(function: Any = None, **options: Any) -> Any:
        if function is None:
            return partial(wrap, **options)
        made = cache(partial(compiled, function, **options))
        return wraps(function)(lambda *arguments, **named: made()(*arguments, **named))

    with mock.patch.object(torch, "compile", wrap):
        yield


def patch_bitsandbytes() -> None:
    """Keep bitsandbytes from packing 4-bit weights in the midst of training, and from losing the scales of 8-bit ones.

    bitsandbytes 0.50.2 on a CPU with avx512_bf16: the first evaluation repacks the weights, and the next training step
    fails with `a view of a leaf Variable that requires grad is being used in an in-place operation`. Unnecessary once
    Linear4bit.forward leaves a model alone that goes back to training.

    On a CPU PEFT 0.18.1 moves an 8-bit weight to where it is whenever DoRA takes its norm, and bitsandbytes believes of
    a weight that was moved that it has scales of its own: training it fails with `'NoneType' object has no attribute
    'unsqueeze'`, asking it with `... 'dtype'`. Unnecessary once Linear8bitLt.init_8bit_state takes over no scales where
    there are none. Call before the model is loaded.
    """
    with compiled_at_first_call():
        modules = importlib.import_module("bitsandbytes.nn.modules")
    modules.has_avx512bf16 = lambda: False  # type: ignore[attr-defined]
    take_over = modules.Linear8bitLt.init_8bit_state
    if hasattr(take_over, "__wrapped__"):
        return

    @wraps(take_over)
    def take_over_what_is_there(self: Any) -> None:
        if self.weight.SCB is None:
            self.weight.SCB = self.state.SCB
        take_over(self)

    modules.Linear8bitLt.init_8bit_state = take_over_what_is_there


def patch_dora() -> None:
    """Let DoRA be trained on a base that bitsandbytes quantized.

    LLaMA-Factory 0.9.5 refuses it (`DoRA is not compatible with PTQ-quantized models`): it looks for `bnb`, its own
    name, where transformers says `bitsandbytes`. Unnecessary once model/adapter.py compares with that. Call before the
    model is loaded.
    """
    methods = importlib.import_module("transformers.utils.quantization_config").QuantizationMethod
    # That module asks for this one name alone.
    adapter = importlib.import_module("llamafactory.model.adapter")
    adapter.QuantizationMethod = SimpleNamespace(BNB=methods.BITS_AND_BYTES)  # type: ignore[attr-defined]


def patch_merging() -> None:
    """Have an adapter that is merged change the layers that it was trained on, and no other.

    PEFT 0.18.1 adds it to the weight in place, and the two embeddings of many a base share one: an adapter on the last
    (`lora_target: lm_head`) changes the first as well, which is another model (huggingface/peft#2018). LLaMA-Factory
    merges to load an adapter on a base that is not quantized, so what was scored was that. Unnecessary once PEFT parts
    them. Call before the model is loaded.
    """
    tuners = importlib.import_module("peft.tuners.tuners_utils")
    merge = tuners.BaseTuner._unload_and_optionally_merge
    if hasattr(merge, "__wrapped__"):
        return

    @wraps(merge)
    def merge_apart(self: Any, *arguments: Any, **named: Any) -> Any:
        owners = Counter(id(weight) for _, weight in self.model.named_parameters(remove_duplicate=False))
        for layer in self.model.modules():
            base = layer.get_base_layer() if isinstance(layer, tuners.BaseTunerLayer) else None
            if base is not None and owners[id(getattr(base, "weight", None))] > 1:
                base.weight = type(base.weight)(base.weight.detach().clone(), requires_grad=False)
        return merge(self, *arguments, **named)

    tuners.BaseTuner._unload_and_optionally_merge = merge_apart


def patch_tied_embeddings() -> None:
    """Have a merged model say that its two embeddings are apart, where they are.

    A base with one weight for both gets two by `additional_target: embed_tokens,lm_head`, and what LLaMA-Factory 0.9.5
    exports still says `tie_word_embeddings`: transformers before 5 and vLLM take one of them for both, which is another
    model (huggingface/transformers#45127, huggingface/peft#2777). Unnecessary once PEFT says it when it merges. Call
    before the export.
    """
    tuner = importlib.import_module("llamafactory.train.tuner")
    load = tuner.load_model

    @wraps(load)
    def load_and_tell(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        first, last = model.get_input_embeddings(), model.get_output_embeddings()
        if last is not None and last.weight is not first.weight:
            for config in (model.config, model.config.get_text_config()):
                if getattr(config, "tie_word_embeddings", False):
                    config.tie_word_embeddings = False
        return model

    tuner.load_model = load_and_tell  # type: ignore[attr-defined]


def patch_loss_sum() -> None:
    """Keep a training loss that is NaN or infinite out of the losses that are reported after it.

    transformers 5.6.0 empties the sum of the losses since the last report by taking it from itself, which leaves NaN
    where it was not finite, though the training may recover: a scaler of fp16 gradients skips such a step.
    Unnecessary once Trainer._maybe_log_save_evaluate sets it to zero. Call before the training.
    """
    trainer = importlib.import_module("transformers").Trainer
    log = trainer._maybe_log_save_evaluate

    @wraps(log)
    def log_and_empty(self: Any, tr_loss: Any, *arguments: Any, **named: Any) -> None:
        log(self, tr_loss, *arguments, **named)
        if self._globalstep_last_logged == self.state.global_step:
            tr_loss.zero_()

    trainer._maybe_log_save_evaluate = log_and_empty


def patch_token_count() -> None:
    """Count the tokens of rows that are packed together.

    transformers 5.6.0 adds up the attention mask. Of rows that are kept apart (neat_packing) it has four dimensions and
    the lowest float where nothing is to be seen, so that a run of six steps had -55340232221128654848 tokens; for flash
    attention it is None; of other packed rows it is 1 where LLaMA-Factory 0.9.5 only fills up.
    Unnecessary once Trainer._track_num_input_tokens counts all three. Call before the training.
    """
    trainer = importlib.import_module("transformers").Trainer
    not_padding = importlib.import_module("harness.workers.rows_trained").not_padding
    track = trainer._track_num_input_tokens

    @wraps(track)
    def track_packed(self: Any, inputs: Any) -> None:
        if "input_ids" in inputs and "attention_mask" in inputs:
            ids, labels, mask = inputs["input_ids"], inputs.get("labels"), inputs["attention_mask"]
            given = not_padding(ids, labels, mask, getattr(self.processing_class, "pad_token_id", None))
            inputs = {**inputs, "attention_mask": given}
        track(self, inputs)

    trainer._track_num_input_tokens = track_packed


def label_web_page() -> None:
    """Give LLaMA-Factory's web page its labels (hiyouga/LLaMA-Factory#5668).

    It sets them when the choice of a language changes, and since gradio 5 that stands at the first one from the start.
    Unnecessary once Engine.resume sets them. Call before the page is built.
    """
    engine = importlib.import_module("llamafactory.webui.engine")
    resume = engine.Engine.resume

    @wraps(resume)
    def resume_with_labels(self: Any) -> Iterator[Any]:
        yield from resume(self)
        yield self.change_lang(engine.load_config().get("lang") or "en")

    engine.Engine.resume = resume_with_labels


def main() -> None:
    """Be llamafactory-cli, with the arguments of this process."""
    prepare_imports()
    patch_bitsandbytes()
    patch_dora()
    patch_merging()
    patch_tied_embeddings()
    importlib.import_module("llamafactory.cli").main()


if __name__ == "__main__":
    main()
