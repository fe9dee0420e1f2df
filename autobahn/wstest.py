"""Runs Autobahn's fuzzing client or fuzzing server (Python 2) as a spec file says.

`wstest` itself listens on every interface, at a port that must be known beforehand;
here the fuzzing server listens on loopback, at a port that the system chooses.
"""

import json
import sys

from autobahntestsuite import fuzzing  # first: it chooses Twisted's reactor
from twisted.internet import reactor


def main():
    with open(sys.argv[1]) as spec_file:
        spec = json.load(spec_file)
    if "servers" in spec:
        fuzzing.startClient(spec)
    else:
        factory = fuzzing.FuzzingServerFactory(spec)
        address = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost()
        url = "ws://%s:%d" % (address.host, address.port)
        factory.setSessionParameters(url=url, server=factory.server)
        print("listening on " + url)
        sys.stdout.flush()
    reactor.run()


main()
