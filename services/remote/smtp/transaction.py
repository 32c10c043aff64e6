"""One mail in a session: who was asked for, what each recipient's outcome is. Pure.

It knows no octets: client tells it what a reply was the answer to.
"""

from collections.abc import Mapping

from services.remote.smtp import sentences
from services.remote.smtp.commands import elsewhere
from services.remote.smtp.events import MailEnd, Phase
from services.remote.smtp.replies import Reply, judged
from services.remote.too_many import not_for_good
from tubepost.outcome import REMOTE_SAID, Deferred, Delivered, Failed, Outcome

BEFORE_CONTENT = frozenset({Phase.RSET, Phase.MAIL, Phase.RCPT, Phase.DATA})
"""The peer has none of the mail's content yet: another host may be asked without a duplicate."""


_NOBODY: frozenset[str] = frozenset()


class Transaction:
    """`refused`: outcomes of those that `peer` is not asked about; `waiting`: not judged yet.

    `asks`: it ends with RSET, only what the peer says of recipients is wanted.
    """

    def __init__(
        self,
        peer: str,
        refused: Mapping[str, Failed],
        asked: tuple[str, ...],
        body: bytes,
    ) -> None:
        self._peer, self._asked = peer, asked
        self._elsewhere = elsewhere(refused) if refused else _NOBODY
        self._outcomes: dict[str, Outcome] = dict(refused)
        self.waiting = list(asked)
        self.body = body
        self.asks = False

    def refuse_all(self, phase: Phase, reply: Reply) -> None:
        """Everyone who waits has the outcome of this reply."""
        outcome = judged(reply, self._peer, _ALL_REFUSED[phase], phase)
        self._settle(self.waiting, outcome)
        self.waiting = []

    def refuse(self, recipient: str, reply: Reply) -> None:
        """Unless the sender was refused already, which says more."""
        if recipient in self.waiting:
            self.waiting.remove(recipient)
            refusal = judged(
                reply,
                self._peer,
                sentences.RECIPIENT_DISLIKED,
                Phase.RCPT,
                ending=sentences.GIVING_UP,
            )
            self._outcomes[recipient] = not_for_good(refusal)

    def accept(self, recipient: str, reply: Reply) -> None:
        """The answer to a question; of a mail it says nothing yet. The sender may be refused."""
        if recipient in self.waiting:
            self.waiting.remove(recipient)
            text = f"{self._peer} accepts the recipient./{REMOTE_SAID}{reply.said}"
            self._outcomes[recipient] = Delivered(text=text, peer=self._peer)

    def ended(self, recipient: str, reply: Reply, *, reports: bool, tls: str) -> None:
        """The reply to the final dot; in LMTP for one recipient, else "" (RFC 2033 4.2)."""
        whom = [recipient] if recipient else self.waiting
        outcome: Outcome
        if reply.ok:
            text = f"{sentences.ACCEPTED.format(peer=self._peer)}/{REMOTE_SAID}{reply.said}"
            outcome = Delivered(text=text, peer=self._peer, reports=reports, tls=tls)
        else:
            outcome = judged(reply, self._peer, sentences.MESSAGE_FAILED, Phase.FINAL_DOT)
        self._settle(whom, outcome)
        self.waiting = [r for r in self.waiting if r != recipient] if recipient else []

    def forget_replies(self) -> None:
        """It is not known any more which recipient a reply was about."""
        self.waiting = list(self._asked)

    def broken(self, why: Deferred, phase: Phase) -> MailEnd:
        """The session ended in this phase. Who has an outcome keeps it."""
        self._settle(self.waiting, why)
        if phase not in BEFORE_CONTENT:
            return self.end()
        return MailEnd(self._outcomes, self._elsewhere.union(self.waiting))

    def end(self) -> MailEnd:
        return MailEnd(self._outcomes, self._elsewhere)

    def _settle(self, recipients: list[str], outcome: Outcome) -> None:
        for recipient in recipients:
            self._outcomes[recipient] = outcome


_ALL_REFUSED = {
    Phase.MAIL: sentences.SENDER_REJECTED,
    Phase.DATA: sentences.DATA_FAILED,
    Phase.FINAL_DOT: sentences.MESSAGE_FAILED,
}
