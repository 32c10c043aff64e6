"""What mail hosts say, and which kind of trouble it is. Pure data; reply_kinds asks it.

The first phrase that stands in a reply decides, so the narrow ones come before the wide ones. All
in lower case, as reply_kinds makes a reply: lines joined, addresses left out, codes kept.
"""

_SAID: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("greylisted", (
        "greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list",
        "come back in", "come back later", "4.7.1 please try again later", "4.7.1 try again later",
        "try again in 5 min", "try again in 300 sec", "retry in 5 min",
    )),
    ("too_many_recipients", (
        "too many recipients", "too many rcpt", "recipient limit", "recipients per message",
        "maximum number of recipients",
    )),
    ("rate_limited", (
        "rate limit", "ratelimit", "rate-limit", "rate of unsolicited", "throttl", "too quickly",
        "receiving mail at a rate", "too many connections", "too many concurrent", "too many mes",
        "too many mails", "too many emails", "too many unknown", "too many errors",
        "too many sessions", "slow down", "sending rate", "message rate", "connection rate",
        "exceeded the rate", "over rate",
        "hourly limit", "daily limit", "hourly quota", "sending quota", "sending limit",
        "concurrent connections", "connections per", "connection limit", "connection frequency",
        "messages per", "unexpected volume", "too much mail", "number of connections", "5.7.708",
        "4.7.500 server busy",
    )),
    ("unauthenticated", (
        "dmarc", "dkim", "spf check", "spf fail", "spf record", "spf validation", "spf polic",
        "spf: fail", "openspf", "sender policy framework", "not authorized to send mail for",
        "authentication checks", "unauthenticated email", "unauthenticated mail",
        "sender is unauthenticated", "cannot find your hostname",
        "cannot find your reverse", "reverse dns", "reverse hostname", "reverse lookup",
        "ptr record", " ptr ", "no ptr", "rdns", "does not resolve to",
    )),
    ("virus", ("virus", "malware", "infected", "clamav", "trojan")),
    ("unknown_user", (
        "5.4.1 recipient address rejected: access denied", "recipientnotfound",
        "recipient address rejected: user", "recipient address rejected: undeliverable",
        "not listed in",
    )),
    ("relay_denied", (
        "relay access denied", "relaying denied", "relay denied", "relaying is not",
        "relaying not", "relay not", "not permitted to relay", "allowed to relay",
        "unable to relay", "cannot relay", "do not relay", "does not relay", "no relaying",
        "not a relay", "open relay", "prohibited relay", "rcpthosts", "attributing the message",
        "tenantattribution", "not hosted here", "not a local domain",
    )),
    ("blocked", (
        "spamhaus", "spamcop", "barracudacentral", "sorbs", "uceprotect", "abusix", "invaluement",
        "blacklist", "black list", "block list", "blocklist", "block-list", "denylist", "dnsbl",
        " rbl", "reputation", "banned sending", "ip address is banned", "you are banned",
        "has been banned", "client host rejected", "host rejected", "client host blocked",
        "blocked using", "ip address blocked", "ip blocked", "ip is blocked", "is blocked",
        "been blocked", "are blocked", "listed at", "listed in", "listed by", "is listed",
        "bad dns pt", "user complaints", "not accepting mail from your", "your ip",
        "dynamic ip", "residential ip", "no smtp service here",
    )),
    ("mailbox_full", (
        "mailbox full", "mailbox is full", "mailbox too full", "mail box is full", "mailboxfull",
        "inbox is full", "inbox full", "folder is full", "account is full", "over quota",
        "overquota", "over its quota", "over his quota", "over the allowed quota", "quota exceed",
        "quotaexceed", "exceeded his", "exceeds quota", "exceed the quota", "exceeded quota",
        "exceeded storage", "storage quota", "mailbox quota", "disk quota", "mailfolder is full",
        "out of storage", "out of disk quota", "exceeds allotted", "insufficient mailbox",
        "exceeded mailbox", "mailbox size limit", "mailbox storage", "mailbox exceed",
        "not enough space", "insufficient space",
    )),
    ("loop", (
        "too many hops", "hop count", "hopcount", "mail loop", "message is looping",
        "loops back", "routing loop", "mail forwarding loop", "too many received",
    )),
    ("too_big", (
        "size exceed", "too large", "too big", "size limit", "maximum message size",
        "maximum size", "exceeds fixed", "exceeds the maximum", "exceeded the maximum",
        "length exceed", "exceeds size", "exceeds limit",
    )),
    ("tls", (
        "issue a starttls", "starttls is required", "starttls required", "starttls first",
        "tls required", "tls is required", "requires tls", "must use tls", "encryption required",
        "session encryption", "requires encryption", "tls not available",
    )),
    ("auth", (
        "authentication required", "authentication is required", "authentication failed",
        "authentication unsuccessful", "authentication failure", "authentication credentials",
        "must authenticate", "please authenticate", "auth required", "login denied",
        "client was not authenticated", "username and password not accepted",
        "need to authenticate", "invalid login",
    )),
    ("sender_refused", (
        "sender address", "sender domain", "domain of sender", "sender verif", "sender rejected",
        "sender unknown", "unknown sender", "invalid sender", "bad sender", "sender is invalid",
        "verify sender", "return path", "sender denied", "sender not allowed", "mail from domain",
        "envelope sender", "sender does not", "sender's domain", "null sender",
    )),
    ("no_such_domain", (
        "domain not found", "no such domain", "unknown domain", "domain does not exist",
        "domain doesn't exist", "host or domain name not found", "name service error",
        "invalid domain", "domain is invalid", "host unknown", "unknown host",
        "does not accept mail (nullmx)", "domain is not",
    )),
    ("disabled_user", (
        "account disabled", "account is disabled", "account has been disabled",
        "account that you tried to reach is disabled", "account that you tried to reach is inact",
        "mailbox disabled", "mailbox is disabled", "user disabled", "user is disabled",
        "recipient disabled", "recipient is disabled", "disabled recipient", "account inactive",
        "account is inactive", "mailbox inactive", "mailbox is inactive", "user inactive",
        "inactive user", "suspended", "deactivated", "account closed", "account is closed",
        "account has been closed", "mailbox is frozen", "account is locked", "account locked",
        "account expired", "mailbox has expired", "discontinued", "not accepting messages",
        "temporarily disabled", "no longer in use",
    )),
    ("unknown_user", (
        "user unknown", "unknown user", "user is unknown", "no such user", "no such recipient",
        "no such mailbox", "no such address", "no such account", "no such person", "no such local",
        "no such email", "unknown recipient", "recipient unknown", "recipient is unknown",
        "unknown local", "unknown address", "address unknown", "unknown mailbox",
        "mailbox unknown", "unknown or illegal alias", "user not found", "mailbox not found",
        "recipient not found", "account not found", "address not found", "does not exist",
        "doesn't exist", "not exist", "no mailbox here", "no mailbox by", "no mailbox found",
        "invalid recipient", "invalid mailbox", "invalid address", "invalid user",
        "is not a valid mailbox", "not a valid recipient", "not a valid user",
        "recipient is not valid", "unrouteable address", "unroutable address", "user doesn't have",
        "user does not have", "not our customer", "undeliverable address", "not a known user",
        "no valid recipients", "address not present", "bad destination mailbox",
        "recipient rejected", "no longer available",
        "no longer valid", "no account by that name", "user not local", "mailbox unavailable",
    )),
    ("spam", (
        "spam", "unsolicited", "junk", "bulk mail", "bulk email", "phish", "suspicious",
        "content rejected", "rejected due to content", "unwanted", "message looks", "surbl",
        "uribl", "urlbl", "rejected by filter", "content filter", "high probability",
    )),
    ("content", (
        "bare lf", "bare newline", "bare linefeed", "attachment", "banned file", "file type",
        "rfc 5322", "rfc5322", "rfc 2822", "rfc2822", "rfc 822", "duplicate header",
        "missing header", "invalid header", "header is missing", "header missing",
        "from: header", "from header", "smtputf8", "8bit", "mime", "line too long",
        "non-ascii", "multiple from", "header field",
    )),
    ("server_trouble", (
        "try again later", "try later", "local problem", "local error", "insufficient system",
        "insufficient disk", "no space left", "queue file write", "configuration problem",
        "configuration error", "service unavailable", "service not available",
        "service currently unavailable", "internal error", "internal server", "resources",
        "lookup error", "lookup failure", "system not accepting", "not accepting network",
        "overload", "load average", "server busy", "too busy", "system load", "out of memory",
        "shutting down", "temporary failure", "temporary error", "temporarily unavailable",
        "temporary lookup", "temporarily deferred", "maintenance", "timeout exceeded",
        "cannot open", "database",
    )),
    ("policy", (
        "policy", "prohibit", "access denied", "not allowed", "not authorized", "not permitted",
        "helo command rejected", "not accepted", "closed group", "rejected by", "refused by",
        "refused", "restricted", "disallowed", "forbidden",
    )),
)  # fmt: skip

PHRASES: tuple[tuple[str, str], ...] = tuple(
    (phrase, kind) for kind, phrases in _SAID for phrase in phrases
)
"""(phrase, kind), in the order in which they are tried."""
