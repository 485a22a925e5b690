"""The prompts of the lab's world."""

from rlaif.lab.questions import Question, questions


def test_a_question_is_found_by_its_text_and_always_in_the_same_split():
    assert all(question.text == text for text, question in questions().items())
    assert all(question.split == Question(text, "another", ()).split for text, question in questions().items())
    held_out = sum(question.split == "heldout" for question in questions().values())
    assert 0.15 < held_out / len(questions()) < 0.25


def test_every_held_out_subject_is_met_in_training():
    # A held-out prompt asks in new words for something that training prompts ask too; else it would test what cannot be known.
    about = {split: {q.about for q in questions().values() if q.split == split} for split in ("train", "heldout")}
    assert about["heldout"] <= about["train"]
