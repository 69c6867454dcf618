"""Tokenizers of the three kinds that the tiny models use: byte-level BPE, SPM and WordPiece."""

from dataclasses import dataclass
from typing import Final

from gguf import GGUFWriter, TokenType

WORDS: Final = (
    *("the", "and", "of", "to", "in", "is", "it", "you", "that", "was", "for", "on", "are", "with"),
    *("as", "his", "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "hot"),
    *("but", "some", "what", "there", "we", "can", "out", "other", "were", "all", "your", "when"),
    *("up", "use", "word", "how", "said", "an", "each", "she", "which", "do", "their", "time"),
    *(
        "if",
        "will",
        "way",
        "about",
        "many",
        "then",
        "them",
        "would",
        "write",
        "like",
        "so",
        "these",
    ),
    *("her", "long", "make", "thing", "see", "him", "two", "has", "look", "more", "day", "could"),
    *("go", "come", "did", "my", "sound", "no", "most", "number", "who", "over", "know", "water"),
    *("call", "first", "people", "may", "down", "side", "been", "now", "find", "sky", "blue", "a"),
)

_SPACE = "\u2581"  # how SPM and WordPiece files write the beginning of a word

CHATML: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TURNS: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n'"
    " + message['content'] + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as a model file describes it; special tokens are ids."""

    model: str
    tokens: list[str]
    types: list[TokenType]
    special: dict[str, int]
    pre: str | None = None
    merges: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    add_bos: bool = False
    add_sep: bool = False
    chat_template: str | None = None
    unlikely: tuple[int, ...] = ()  # what a model should not write: bytes that are no text

    def write(self, writer: GGUFWriter, chat_template: str | None) -> None:
        """Adds the tokenizer's metadata."""
        writer.add_tokenizer_model(self.model)
        if self.pre is not None:
            writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores:
            writer.add_token_scores(list(self.scores))
        if self.merges:
            writer.add_token_merges(list(self.merges))
        for name, token in self.special.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
        writer.add_add_bos_token(self.add_bos)
        if self.add_sep:
            writer.add_add_sep_token(True)
        if template := chat_template or self.chat_template:
            writer.add_chat_template(template)


def byte_pairs() -> Vocabulary:
    """Every byte, and each word with a space before it, built up letter by letter."""
    tokens, merges = _byte_characters(), []
    space = tokens[ord(" ")]
    for word in WORDS:
        whole = space
        for letter in word:
            if whole + letter not in tokens:
                tokens.append(whole + letter)
                merges.append(f"{whole} {letter}")
            whole += letter
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    end, _, turn = range(len(tokens), len(tokens) + 3)
    return Vocabulary(
        model="gpt2",
        pre="qwen2",
        tokens=tokens + special,
        types=[TokenType.NORMAL] * len(tokens) + [TokenType.CONTROL] * 3,
        special={"bos": end, "eos": turn, "padding": end},
        merges=tuple(merges),
        chat_template=CHATML,
        unlikely=(*range(32), *range(127, 256)),
    )


def sentence_pieces() -> Vocabulary:
    """Special tokens, every byte, letters, and the beginnings of words; longer ones first."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    special += ["<s>", "</s>", "<|endoftext|>"]  # a file that is called phi3 must have these
    pieces = [_SPACE, *(chr(code) for code in range(33, 127))]
    for word in WORDS:
        for length in range(1, len(word) + 1):
            if (piece := _SPACE + word[:length]) not in pieces:
                pieces.append(piece)
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [TokenType.CONTROL] * len(special)
    types[3] = TokenType.UNKNOWN
    return Vocabulary(
        model="llama",
        tokens=tokens,
        types=types + [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces),
        special={"padding": 0, "eos": 1, "bos": 2, "unknown": 3, "eot": 5},
        scores=(*[0.0] * (len(special) + 256), *(float(len(piece)) - 99 for piece in pieces)),
        add_bos=True,
        chat_template=TURNS,
        unlikely=tuple(range(len(special), len(special) + 256)),
    )


def word_pieces() -> Vocabulary:
    """Whole words, and letters to spell all others."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*(_SPACE + word for word in WORDS if len(word) > 1), *letters]
    pieces += [_SPACE + letter for letter in letters]
    return Vocabulary(
        model="bert",
        tokens=special + pieces,
        types=[TokenType.CONTROL] * len(special) + [TokenType.NORMAL] * len(pieces),
        special={
            **{"padding": 0, "unknown": 1, "bos": 2, "eos": 3},
            **{"cls": 2, "seperator": 3, "mask": 4},  # the key is spelt like that
        },
        add_bos=True,
        add_sep=True,
    )


def _byte_characters() -> list[str]:
    """The characters by which byte-level BPE writes the bytes: GPT-2's table."""
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]
