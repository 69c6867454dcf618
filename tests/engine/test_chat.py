"""Chat templates come from the model file, are given what they expect, and cannot do harm."""

import pytest

from lmx.engine import InvalidRequest, ModelFileError
from lmx.engine.chat import render_chat

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
USER = [{"role": "user", "content": "Hi"}]


def render(template: str, *, adds_bos: bool = True) -> str:
    return render_chat(template, USER, bos="<s>", eos="</s>", adds_bos=adds_bos, model="m.gguf")


def test_a_prompt_ends_where_the_answer_begins() -> None:
    assert render(CHATML) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_the_first_token_is_not_there_twice() -> None:
    assert render("{{ bos_token }}x") == "x"
    assert render("{{ bos_token }}x", adds_bos=False) == "<s>x"


def test_a_template_has_the_helpers_it_expects() -> None:
    assert render("{{ messages[0] | tojson }}") == '{"role": "user", "content": "Hi"}'
    assert len(render("{{ strftime_now('%Y') }}")) == 4
    assert render("{% for m in messages %}{% break %}{% endfor %}.") == "."


def test_a_template_may_refuse_the_messages() -> None:
    with pytest.raises(InvalidRequest, match="refuses the messages: no system here"):
        render("{{ raise_exception('no system here') }}")


@pytest.mark.parametrize(
    "template",
    [
        "{% for",
        "{{ 1 / 0 }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for i in range(999999999) %}x{% endfor %}",
    ],
)
def test_a_broken_or_hostile_template_is_an_error_of_the_file(template: str) -> None:
    with pytest.raises(ModelFileError, match=r"m\.gguf: its chat template fails"):
        render(template)
