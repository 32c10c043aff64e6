"""Every Prometheus metric, each once, with its help text. Labels have few values: never an address.

docs/metrics.md is compared with this file.
"""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
QUEUE_SECONDS = (0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21_600, 86_400, 604_800)

SMTP_SESSIONS = Gauge("tubepost_smtp_sessions", "Open SMTP sessions.", ["listener"])
SMTP_SESSIONS_LIMIT = Gauge(
    "tubepost_smtp_sessions_limit", "SMTP sessions at once in a process, at most; 0 = no limit."
)
RATE_KEYS = Gauge(
    "tubepost_smtp_rate_keys", "Clients whose rates are counted, for each kind of rate."
)
RATE_MESSAGES = Counter(
    "tubepost_smtp_rate_messages", "Messages about rates between processes.", ["direction"]
)
MAILS_ACCEPTED = Counter("tubepost_mails_accepted", "Mails taken into the queue.", ["source"])
MAILS_REFUSED = Counter(
    "tubepost_smtp_refusals", "Commands refused at SMTP, by the policy that refused.", ["verdict"]
)
SMTP_DATA_MEMORY = Gauge(
    "tubepost_smtp_data_memory_octets", "Octets of memory that mails being read count for."
)
PROXY_HEADERS_BROKEN = Counter(
    "tubepost_smtp_proxy_broken",
    "Connections of trusted load balancers without a PROXY header that can be read.",
    ["listener"],
)
RBL_ANSWERS = Counter(
    "tubepost_rbl_answers",
    "Clients looked up in DNS lists: listed, allowed, clear or failed.",
    ["list", "result"],
)
ATTEMPTS = Counter(
    "tubepost_delivery_attempts", "Recipients tried, by outcome.", ["channel", "outcome"]
)
NOT_DELIVERED = Counter(
    "tubepost_delivery_kinds",
    "Recipients deferred or failed, by kind: in one word why.",
    ["channel", "outcome", "kind"],
)
TLS_FALLBACKS = Counter(
    "tubepost_tls_fallbacks",
    "Sessions with other hosts in the clear because TLS failed, by reason.",
    ["reason"],
)
ATTEMPT_SECONDS = Histogram(
    "tubepost_delivery_seconds", "Duration of a delivery.", ["channel"], buckets=SECONDS
)
QUEUE_TIME = Histogram(
    "tubepost_queue_seconds",
    "From acceptance to the end of a mail in this unit of the queue.",
    ["channel"],
    buckets=QUEUE_SECONDS,
)
REMOTE_CONNECT_SECONDS = Histogram(
    "tubepost_remote_connect_seconds", "Until a host took the connection.", buckets=SECONDS
)
REMOTE_TLS_SECONDS = Histogram(
    "tubepost_remote_tls_seconds", "Duration of a TLS handshake.", buckets=SECONDS
)
REMOTE_TRANSACTION_SECONDS = Histogram(
    "tubepost_remote_transaction_seconds",
    "From MAIL to the end of a transaction, in a session of its own or in one that was kept.",
    ["session"],
    buckets=SECONDS,
)
REMOTE_SESSIONS = Counter(
    "tubepost_remote_sessions", "Sessions with other hosts that began, by TLS version.", ["tls"]
)
REMOTE_SESSIONS_FAILED = Counter(
    "tubepost_remote_sessions_failed",
    "Sessions that did not begin, by where they ended.",
    ["phase"],
)
REMOTE_RECENT = Gauge(
    "tubepost_remote_recent_recipients",
    "Recipients tried in the last 10 minutes, by destination: the busiest, and all the others.",
    ["destination", "outcome"],
)
REMOTE_RECENT_SECONDS = Gauge(
    "tubepost_remote_recent_seconds",
    "Mean duration of an attempt in the last 10 minutes, for the same destinations.",
    ["destination"],
)
SUPPRESSED = Counter(
    "tubepost_remote_suppressed", "Recipients remembered as gone: later mails fail at once."
)
BOUNCES = Counter("tubepost_bounces", "Bounces and other reports, by kind.", ["kind"])
QUEUE_DEPTH = Gauge("tubepost_queue_records", "Records in the queue, by state.", ["state"])
QUEUE_OLDEST = Gauge("tubepost_queue_oldest_seconds", "Age of the oldest mail in the queue.")
QUEUE_DESTINATION = Gauge(
    "tubepost_queue_destination_records",
    "Records in the queue, by destination: those with most of them, and all the others.",
    ["channel", "destination"],
)
QUEUE_READY = Gauge(
    "tubepost_queue_ready",
    "Records that are due and wait: for a slot, for their destination, or in a pause.",
    ["channel"],
)
QUEUE_SET_ASIDE = Gauge(
    "tubepost_queue_set_aside", "Records that are held or parked: nothing is tried for them."
)
DESTINATIONS_BACKED_OFF = Gauge(
    "tubepost_destinations_backed_off", "Remote destinations that get nothing but probes."
)
HOSTS_BACKED_OFF = Gauge(
    "tubepost_hosts_backed_off", "Addresses of other hosts that get nothing but single tries."
)
SLOTS_USED = Gauge("tubepost_slots_used", "Deliveries handed out and not over.", ["channel"])
SLOTS_LIMIT = Gauge("tubepost_slots_limit", "Deliveries at once, at most.", ["channel"])
SHARD_OWNED = Gauge("tubepost_shard_owned", "1 where this scheduler owns the shard.", ["shard"])
BODIES_COLLECTED = Counter(
    "tubepost_bodies_collected", "Bodies removed because no record spoke of them."
)
QUOTA_WARNINGS = Counter(
    "tubepost_quota_warnings", "Mailboxes that got the mail that says they are nearly full."
)
LOGINS = Counter("tubepost_logins", "Logins, by service and result.", ["service", "result"])
POP3_SESSIONS = Gauge("tubepost_pop3_sessions", "Open POP3 sessions.")
RELAY_OPENED = Counter("tubepost_relay_opened", "What a login did to the relay list.", ["result"])
RELAY_MANY_USERS = Counter(
    "tubepost_relay_many_users", "Addresses many different users logged in from, once in a window."
)
BUGS = Counter("tubepost_bugs", "Exceptions that no code expected; each has a log line.")
EVENTS_DROPPED = Counter(
    "tubepost_events_dropped", "Events that were not written: the buffer was full, the bus away."
)
BUS_LOST = Counter("tubepost_bus_lost", "Times the connection to the bus went away.")
CERTIFICATE_EXPIRES = Gauge(
    "tubepost_certificate_expires_timestamp_seconds",
    "When a TLS certificate expires: the default, and of the others those that expire first.",
    ["certificate"],
)
