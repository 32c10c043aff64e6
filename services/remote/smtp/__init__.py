"""The SMTP and LMTP client's protocol machine: octets in, events out; mails in, octets out. Pure.

    client       the way in: what the shell tells the machine, and what follows from a reply
    dialogue     whose turn it is        greeting     up to the first mail   login   AUTH
    transaction  one mail                events       what the shell hears
    commands     what is written         replies      what is read
    sentences    what an outcome says    announced    what a host says of its limits
    seven_bit    mails for hosts without 8BITMIME

No socket, no clock, no DNS: services.remote.link carries the octets. Nothing here may know of
other hosts, of sessions that are kept, or of the queue.
"""
