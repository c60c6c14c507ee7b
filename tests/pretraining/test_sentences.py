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


@pytest.mark.parametrize(
    "sentences",
    [
        ["这是一个句子。", "你好吗？", "我很好！"],
        ["他说：“你好。”", "她走了……", "天黑了。"],
        ["“真的吗？！”", "“是的。”", "《红楼梦》很长。"],
        ["你好!", "我很好?", "是的…", "好。"],
        ["圆周率约为3.14。", "版本2.0出来了。"],
        ["圆周率約３．１４。", "終わり．", "次の文．", "Ａ．Ｂは人名だ。"],
        ["「そうだ。」", "「違う！」", "雨が降った。"],
        ["彼は「行く。」と言った。", "「来い！」って叫んだ。", "とても遠い。"],
        ["（注意してください。）", "【終わり。】", "ｶﾀｶﾅ｡", "ﾊﾝｶｸ｡"],
        ["“好！”，他说。", "“去吧。”——他走了。"],
        ["BERT发布于2018年。", "It was new。", "很多人用它。", "Yes。", "OK！"],
        ["他问：“去？”", "“对。”"],
        ["。"],
        ["好。。。", "坏？？"],
    ],
)
def test_breaks_of_chinese_and_japanese(sentences):
    assert split_sentences("".join(sentences)) == sentences
    assert split_sentences("\u3000".join(sentences)) == sentences


def test_text_of_marks_takes_no_time():
    for part in ("。", "…」", "!", "「", "!」 ", "」", "．", ". ", "。.", "！…"):
        text = "あ" + part * 20_000
        assert "".join(split_sentences(text)).split() == text.split()


def test_nothing_but_white_space_is_lost():
    text = 'One.  Two!\t"Three?" Four... Five. six Seven: Eight.'
    sentences = split_sentences(text)
    assert len(sentences) == 5
    assert " ".join(sentences).split() == text.split()
