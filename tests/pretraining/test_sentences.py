import pytest

from pretraining.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained.", "We stayed.", "Nobody came!", "Why?", "No one knew."],
        ["He met Dr. Brown and Mrs. O'Hara at St. Mary's.", "They left."],
        ["J. R. R. Tolkien and C.S. Lewis met in the U.S. Senate.", "Both spoke."],
        ["Pi is 3.14159.", "Version 2.0 came later."],
        ["See No. 5 and pp. 12-15 of vol. 3, ca. 1900.", "The rest is lost."],
        ["He said no.", "Then he left."],
        ["“Come in!”", "“Who is there?”", "‘I am.’"],
        ["(It was late.)", "[He slept.]", "Well ...", "I do not know…", "Élan vital!", "¿Qué?"],
        ["It ended in 1990.", "25 people came.", "What?!", "Really."],
        ["These, e.g. this and i.e. that etc. and so on."],
        ["A trip from Minneapolis–St. Paul to Nice.", "Done."],
        ["no capitals here. none at all. still one"],
        ["_Italics end here._", "_They begin here._"],
        ["word"],
        [""],
    ],
)
def test_breaks(sentences):
    assert split_sentences(" ".join(sentences)) == sentences


def test_nothing_but_white_space_is_lost():
    text = 'One.  Two!\t"Three?" Four... Five. six Seven: Eight.'
    sentences = split_sentences(text)
    assert len(sentences) == 5
    assert " ".join(sentences).split() == text.split()
