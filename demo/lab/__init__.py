"""A laboratory on one machine: hosts as network namespaces, wires as veth pairs, real servers and clients.

The demo and the end-to-end tests are built from the same parts:

    topology    the hosts and wires
    services    origin (nginx), director (batond), agents (baton-agent)
    downloads   what a client does, and what came of it
    capture     packets of a pcap file, and what a client must never see
    impairment  a wire that loses, repeats, delays and reorders
"""
