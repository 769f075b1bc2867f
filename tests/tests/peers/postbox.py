"""A mail server (aiosmtpd) that takes messages for a test: postbox.py PORT BOX MODE CERTIFICATE KEY

Each message becomes a line of JSON in BOX. It knows the user `shop` with the password `s3cret-smtp` and takes nothing from anybody else. It
refuses whom it does not know (`unknown@`), and subjects that begin with `spam`. MODE is `plain`, `starttls` or `smtps`.
"""

import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

port, box, mode, certificate, key = int(sys.argv[1]), sys.argv[2], *sys.argv[3:6]


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"shop", b"s3cret-smtp")
    return AuthResult(success=good, handled=False)


class Postbox:
    async def handle_RCPT(self, server, session, envelope, address, options):
        who = address.split("@")[0]
        if who == "unknown":
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        message = message_from_bytes(envelope.content, policy=policy.default)
        if message["subject"].startswith("spam"):
            return "554 5.7.1 this is spam"
        part = lambda kind: (message.get_body((kind,)) or None) and message.get_body((kind,)).get_content()
        taken = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None or mode == "smtps",
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": part("plain"),
            "html": part("html"),
        }
        with open(box, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(taken) + "\n")
        return "250 taken"


context = None
if mode != "plain":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
if mode == "starttls":
    options.update(tls_context=context, require_starttls=True)
controller = Controller(Postbox(), hostname="127.0.0.1", port=port, ssl_context=context if mode == "smtps" else None, **options)
controller.start()
print("ready", flush=True)
# Until whoever started it closes its input.
sys.stdin.read()
controller.stop()
