"""English out of docstrings of several styles."""

from __future__ import annotations

import pytest

from experiments import docstrings


def test_docstrings_in_order_with_those_of_compiled_code() -> None:
    text = b'''"""Module."""
from docs import add_newdoc
class A:
    """Class."""
    if True:
        async def f(self):
            """Method."""
            "not a docstring"
    else:
        def g(self): """Other method."""
add_newdoc("package", "name", ("method", """The longest of the arguments."""))
x = """Not a docstring either."""
'''
    assert docstrings.docstrings(text) == [
        "Module.",
        "Class.",
        "Method.",
        "Other method.",
        "The longest of the arguments.",
    ]


def test_english_in_numpy_style() -> None:
    text = """Return the mean of an array. It is
    taken over all axes, e.g. the first.

    .. versionadded:: 1.2
       This is not of interest to anyone here.

    Parameters
    ----------
    a : array_like of any shape
        The *values* whose mean is wanted, see `~numpy.mean` or :func:`median`. Second
        sentences are kept too.
    out : ndarray, optional
        Alternate output array in which to place the result

    .. note:: This is slow for large arrays.

    See Also
    --------
    median : This is the middle value of all.

    Notes
    -----
    The formula is known to everyone [1]_ in the field::

        This is code of the sort that is indented.

    >>> mean([1, 2])
    1.5 is the value of the mean here

    References
    ----------
    .. [1] A. Author, "The title of the book", 1999.
    """
    assert docstrings.english_sentences(text) == [
        "Return the mean of an array.",
        "It is taken over all axes, e.g. the first.",
        "The values whose mean is wanted, see numpy.mean or median.",
        "Second sentences are kept too.",
        "Alternate output array in which to place the result.",
        "This is slow for large arrays.",
    ]


def test_english_in_google_and_sphinx_style() -> None:
    text = """Trains a `Model` on the data.

    Read [the guide](https://example.org/guide) before you use this.

    ```python
    This is not prose but a sort of code.
    ```

    Args:
      x: The inputs of the model, which may
        be of any type (the default is float).
      y (list of int): the targets, in the order of the inputs
    Returns:
      A `History` object.
      * All of the losses, one for each epoch.
      * None of the weights is in there.

    :param z: Where to find the other things.
    :type z: This is the name of a type
    """
    assert docstrings.english_sentences(text) == [
        "Trains a Model on the data.",
        "Read the guide before you use this.",
        "The inputs of the model, which may be of any type (the default is float).",
        "the targets, in the order of the inputs.",
        "All of the losses, one for each epoch.",
        "None of the weights is in there.",
        "Where to find the other things.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "It is short.",
        "The value of x_1 + y_2 == (3 * 4) / 5.",
        "Where \\alpha is the size of the step to take.",
        "See https://example.org for all of the details.",
        "Mean squared error between predictions.",
        "The following are the names of these functions:",
    ],
)
def test_what_is_not_an_english_sentence_is_left_out(text: str) -> None:
    assert docstrings.english_sentences(text) == []
