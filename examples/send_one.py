"""Send one mail and read it back with nothing but Python's library: `python examples/send_one.py`.

Needs `make up` in another terminal, and a mailbox: tubepost domain add example.org;
tubepost account add joe@example.org. Give its address and password as the two arguments.
"""

import poplib
import smtplib
import sys
from email.message import EmailMessage

address, password = sys.argv[1:3]

mail = EmailMessage()
mail["From"], mail["To"], mail["Subject"] = "ann@far.example", address, "hello"
mail.set_content("Hi Joe.")
with smtplib.SMTP("127.0.0.1", 2525) as smtp:
    smtp.send_message(mail)

pop = poplib.POP3("127.0.0.1", 2110)
pop.user(address)
print(pop.pass_(password).decode())  # from here on this address may relay, if it may be listed
print(f"{pop.stat()[0]} mails; the new one may take a moment")
pop.quit()
