"""What a recipient of ours stands for, as the policies want to know it. Pure."""

from dataclasses import replace

from services.smtpd.facts import RcptFacts
from tubepost.posting import why_not
from tubepost.resolution import Post, Refuse, Resolution


def known(facts: RcptFacts, found: Resolution) -> RcptFacts:
    """The facts, with what `found` says. What waits is taken: the hold is ours."""
    facts = replace(facts, mailbox_exists=found.exists, rule=found.rule)
    match found.actions[0]:
        case Refuse(text):
            return replace(facts, refused=text) if found.exists else facts
        case Post(mailing_list):
            return replace(facts, not_posted=why_not(mailing_list, facts.sender))
    return facts
