"""A DNS server of the test's own, which answers as slowly as it is told to."""
import collections
import itertools
import os
import socket
import struct
import threading

from world import with_mount

NEVER = None
_number = itertools.count(1)


class Names:
    """`known[name]` is the IPv4 address, or several with blanks between them, and the seconds until the answer, or NEVER;
    other names do not exist. `asked` counts the questions for each. `under` starts a program that asks it: in a mount
    namespace with resolver files of its own. `patience` is how the program's system asks, as in resolv.conf(5)."""

    def __init__(self, folder, patience):
        self.known, self.asked = {}, collections.Counter()
        number = os.getpid() * 8 + next(_number)
        self._address = f"127.{53 + (number >> 16) % 200}.{number >> 8 & 255}.{number & 255}"
        resolver, services = folder / f"resolv-{number}.conf", folder / f"nsswitch-{number}.conf"
        resolver.write_text(f"nameserver {self._address}\noptions {patience}\n")
        services.write_text("hosts: files dns\n")
        self.under = with_mount(f'mount --bind "{resolver}" /etc/resolv.conf && '
                                f'mount --bind "{services}" /etc/nsswitch.conf')
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self._address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self._socket.close()

    def _serve(self):
        while True:
            try:
                question, client = self._socket.recvfrom(4096)
            except OSError:
                return
            labels, at = [], 12
            while length := question[at]:
                labels.append(question[at + 1:at + 1 + length].decode())
                at += 1 + length
            name = ".".join(labels).lower()
            self.asked[name] += 1
            address, seconds = self.known.get(name, ("", 0))
            if seconds is not NEVER:
                threading.Timer(seconds, self._answer, (question[:at + 5], client, address)).start()

    def _answer(self, question, client, known):
        """Of the questions for an IPv6 address, that there is none."""
        addresses = known.split() if question[-4:-2] == b"\0\1" else []
        header = question[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(addresses), 0, 0)
        answers = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(one) for one in addresses]
        try:
            self._socket.sendto(header + question[12:] + b"".join(answers), client)
        except OSError:
            pass  # it was stopped
