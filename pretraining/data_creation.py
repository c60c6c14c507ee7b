"""Creation of pre-training records from text files; finished records are not made again."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Sequence

from checkpoints.tokenizer_files import open_tokenizer_of_file, tokenizer_paths
from common.atomic import scratch_folder
from common.beam import parse_options
from common.errors import UserError
from common.files import sha256_file
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from data.sidecars import check_replaceable, is_finished, write_sidecar
from data.texts import check_transfer_names, is_transfer_name
from data.tfrecords import RecordWriter, is_record_name
from modeling.tokenization import FullTokenizer
from pretraining.corpus import TEXT, TRANSFER_SET, TokenStore, build_token_store
from pretraining.record_writing import InstanceOptions, write_records
from training.options import BeamFlags


@dataclasses.dataclass(frozen=True)
class DataCreationOptions(InstanceOptions, BeamFlags):
    """The flags of `create_pretraining_data.py`."""

    input_file: str = ""
    output_file: str = ""
    gzip_compress: bool = False
    start_over: bool = False
    input_format: str = TEXT
    vocab_file: str = ""
    do_lower_case: bool | None = None
    do_sentence_split: bool = False
    num_processes: int | None = None


def run(options: DataCreationOptions) -> None:
    """Makes the records, unless they are there already.

    Raises:
      UserError: Options or files that the user has to change.
    """
    beam = parse_options(options.beam_runner, options.beam_options)
    input_files = _find_text(options)
    output_files = _claim_output_files(options, input_files)
    tokenizer = open_tokenizer_of_file(options.vocab_file, options.do_lower_case)
    made_from = {
        "gzip_compress": options.gzip_compress,
        **options.values(field.name for field in dataclasses.fields(InstanceOptions)),
        **tokenizer.record_facts(),
        "input_format": options.input_format,
        "do_sentence_split": options.do_sentence_split,
        "vocab_size": tokenizer.vocab_size,
        "input_sha256": list(map(sha256_file, input_files)),
        "num_output_files": len(output_files),
    }
    made = {path: {**made_from, "output_file": i} for i, path in enumerate(output_files)}
    if all(is_finished(path, info) for path, info in made.items()):
        logging.info("%s: finished already and not damaged.", ", ".join(output_files))
        return
    for path, info in made.items():
        check_replaceable(path, info, options.start_over)

    if beam:
        from pretraining import beam_records

        store, counts = beam_records.write_records(
            input_files,
            output_files,
            tokenizer,
            options,
            options.do_sentence_split,
            options.input_format,
            options.gzip_compress,
            beam,
        )
    else:
        store, counts = _write_here(options, input_files, output_files, tokenizer)

    for path, num_records in zip(output_files, counts, strict=True):
        info = {
            "num_examples": num_records,
            **made[path],
            "input_files": input_files,
            "num_documents": store.num_documents,
            "num_sentences": store.num_sentences,
            "num_tokens": store.num_tokens,
        }
        write_sidecar(path, info)


def _find_text(options: DataCreationOptions) -> list[str]:
    is_transfer_set = options.input_format == TRANSFER_SET
    fits = is_transfer_name if is_transfer_set else is_record_name
    input_files = expand_globs(options.input_file, "input_file", fits)
    if is_transfer_set:
        check_transfer_names(input_files)
    return input_files


def _claim_output_files(options: DataCreationOptions, input_files: Sequence[str]) -> list[str]:
    output_files = [path.strip() for path in options.output_file.split(",") if path.strip()]
    if not output_files:
        raise UserError(f'--output_file: "{options.output_file}" names no file.')
    read = [*input_files, *tokenizer_paths(options.vocab_file)]
    check_files_apart("output_file", output_files, read)
    lock_files("output_file", output_files)
    return output_files


def _write_here(
    options: DataCreationOptions,
    input_files: Sequence[str],
    output_files: Sequence[str],
    tokenizer: FullTokenizer,
) -> tuple[TokenStore, list[int]]:
    """Writes the records in processes of this machine; the token store, and records per file."""
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(RecordWriter(path, options.gzip_compress)) for path in output_files
        ]
        # Beside the output, where there must be room for more than this.
        folder = stack.enter_context(scratch_folder(f"{output_files[0]}.tokens"))
        store = build_token_store(
            input_files,
            tokenizer,
            folder,
            options.do_sentence_split,
            options.num_processes,
            options.input_format,
        )
        write_records(store, tokenizer, options, writers, options.num_processes)
    return store, [writer.num_records for writer in writers]
