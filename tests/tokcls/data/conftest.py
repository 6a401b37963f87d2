"""Small real tokenizers, trained on the text below; no files, no network."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from tokcls.data.windows import Tokenizing, tokenizing

TEXT = """
The ferry to Inverlochy leaves at a quarter past nine, and Captain Dorothea Munro does not wait.
On Friday she carried forty sheep, two doctors, a piano and the whole of the Glenmore Shinty Club.
"We lost," said their goalkeeper, Hamish Baird, "but the other side had the wind and the referee."
In Reykjavik the price of cod rose by three per cent after Nordur Fisheries closed its second plant.
Its chairman, Olafur Stefansson, blamed fuel; the union blamed Olafur Stefansson. Nobody was sorry.
A letter from Mrs Abernathy of Leith asks why the Museum of Clocks is never open on time.
The museum answered within the hour. Unbelievable, uncomfortable, unreasonable: so wrote the critics
of The Lighthouse Keeper, a film in which nothing happens beautifully for a hundred and ten minutes.
Professor Wanjiru Kamau of the University of Nairobi has counted the weaver birds of Lake Naivasha
for thirty years. There are fewer now. The county planned a road; the road was moved; birds stayed.
Kestrel Airways will fly from Cork to Bergen twice a week from May, weather and lawyers permitting.
"""


@pytest.fixture(scope="session")
def wordpiece() -> Tokenizing:
    """A cased WordPiece tokenizer with windows of 16, [CLS] in front and [SEP] behind."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    return tokenizing(tokenizer, prefix=[2], suffix=[3], pad_id=0, max_length=16)


@pytest.fixture(scope="session")
def byte_level() -> Tokenizing:
    """A byte-level BPE tokenizer with windows of 16 and no special ids around them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    return tokenizing(tokenizer, prefix=[], suffix=[], pad_id=0, max_length=16)


@pytest.fixture(scope="session")
def text() -> str:
    return TEXT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora beside the project."""
    folder = Path(__file__).parents[3] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the real corpora are not beside the project")
    return folder
