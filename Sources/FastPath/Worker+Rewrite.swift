import CDPDKShim
import InterCore
import Wire

/// The few packets that a worker changes or makes.
extension Worker {
    /// A candidate's SYN loses what an adopted connection could not go on with: ECN, MPTCP, fast open; and, when the
    /// SYN/ACK will not be seen, window scale, SACK and timestamps (rule 12). Overwritten with NOP, so nothing moves.
    mutating func rewriteSYN(_ packet: Packet, muted: Bool) {
        let tcp = packet.tcp
        let options = TCPOptions(of: tcp)
        guard !options.isMalformed else { return }
        var edit = HeaderEdit(packet.bytes + Int(packet.layout.transport))
        if !tcp.flags.lacks([.ece, .cwr]) || tcp.hasAE {
            edit.set8(13, tcp.flags.rawValue & 0x3F)
            edit.set8(12, tcp.base.wire8(12) & 0xF0)
        }
        var cursor = TCPOptionCursor(tcp.base, end: tcp.length)
        while let option = cursor.next() {
            guard mustGo(option.kind, muted: muted) else { continue }
            edit.blank(option)
            counters.add(.optionsMuted)
        }
        clamp(&edit, options)
        edit.updateChecksum(16, after: edit.change)
    }

    private mutating func mustGo(_ kind: UInt8, muted: Bool) -> Bool {
        if kind == TCPOptionKind.multipath || kind == TCPOptionKind.fastOpen || kind == TCPOptionKind.accurateECN0
            || kind == TCPOptionKind.accurateECN1 || kind == TCPOptionKind.experiment
        {
            return true
        }
        return muted
            && (kind == TCPOptionKind.windowScale || kind == TCPOptionKind.sackPermitted
                || kind == TCPOptionKind.timestamps)
    }

    /// A SYN/ACK's MSS, down to the configured one.
    mutating func clampMSS(_ packet: Packet, _ options: TCPOptions) {
        var edit = HeaderEdit(packet.bytes + Int(packet.layout.transport))
        clamp(&edit, options)
        edit.updateChecksum(16, after: edit.change)
    }

    private mutating func clamp(_ edit: inout HeaderEdit, _ options: TCPOptions) {
        guard configuration.maximumSegment > 0,
            edit.clampMaximumSegmentSize(options, to: configuration.maximumSegment)
        else { return }
        counters.add(.segmentsClamped)
    }

    // MARK: resets

    /// Resets the origin's half in the client's name, with exactly the number that the origin expects (RFC 5961
    /// section 3.2 ignores any other).
    mutating func resetOriginOf(_ flow: Flow, now: UInt64) {
        let key = flows.key(of: flow).key
        let prelude = flows.prelude(flow)
        sendReset(
            Reset(
                source: key.client, destination: key.server, sourcePort: key.clientPort,
                destinationPort: key.serverPort,
                sourceMAC: prelude.pointee.clientMAC, destinationMAC: prelude.pointee.originMAC, vlan: key.vlan,
                sequence: prelude.pointee.psn, timeToLive: prelude.pointee.timeToLive),
            counter: .originResetsSent, now: now)
        if prelude.pointee.resetsSent == 0 { prelude.pointee.firstReset = now }
        prelude.pointee.resetsSent &+= 1
    }

    /// Answers a late packet of the origin with the reset that it would have got from a client that knows nothing.
    mutating func resetSender(of packet: Packet) {
        let bytes = UnsafeRawPointer(packet.bytes)
        let tcp = packet.tcp
        guard tcp.flags.contains(.ack) else { return }
        let network = Int(packet.layout.network)
        sendReset(
            Reset(
                source: packet.layout.destination(bytes, ipHeader: network),
                destination: packet.layout.source(bytes, ipHeader: network),
                sourcePort: tcp.base.wire16(2), destinationPort: tcp.base.wire16(0), sourceMAC: packet.destinationMAC,
                destinationMAC: packet.sourceMAC, vlan: packet.layout.vlan, sequence: tcp.acknowledgement,
                timeToLive: 64),
            counter: .tombstoneResetsSent, now: packet.now)
    }

    struct Reset {
        var source: IPAddress
        var destination: IPAddress
        var sourcePort: UInt16
        var destinationPort: UInt16
        var sourceMAC: MACAddress
        var destinationMAC: MACAddress
        var vlan: VLAN
        var sequence: SequenceNumber
        var timeToLive: UInt8
    }

    /// Makes a reset and sends it to the servers' side. An empty pool loses it: the origin's next packet gets another.
    mutating func sendReset(_ reset: Reset, counter: Counter, now: UInt64) {
        let isV6 = !reset.source.isV4
        let network = reset.vlan.isTagged ? 18 : 14
        let transport = network &+ (isV6 ? 40 : 20)
        // Ethernet's least frame, so that no port has to pad.
        let length = max(transport &+ 20, 60)
        guard let packet = shim_mbuf_make(links.pool, UInt16(length)) else { return }
        let bytes = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        var index = 0
        while index < length {
            bytes.setWire8(index, 0)
            index &+= 1
        }
        bytes.setWireMAC(0, reset.destinationMAC)
        bytes.setWireMAC(6, reset.sourceMAC)
        if reset.vlan.isTagged {
            bytes.setWire16(12, 0x8100)
            bytes.setWire16(14, reset.vlan.value)
        }
        bytes.setWire16(network &- 2, isV6 ? 0x86DD : 0x0800)
        if isV6 { writeIPv6(bytes + network, reset) } else { writeIPv4(bytes + network, reset) }
        let tcp = bytes + transport
        tcp.setWire16(0, reset.sourcePort)
        tcp.setWire16(2, reset.destinationPort)
        tcp.setWire32(4, reset.sequence.value)
        tcp.setWire8(12, 0x50)
        tcp.setWire8(13, TCPFlags.rst.rawValue)
        let layout = PacketLayout(of: UnsafeRawPointer(bytes), length: length)
        tcp.setWire16(16, layout.computedChecksum(UnsafeRawPointer(bytes)))
        counters.add(.generated)
        counters.add(counter)
        if capture.isOn { captureReset(packet, reset, counter, now: now) }
        sendToServers(packet)
    }

    private mutating func writeIPv4(_ header: UnsafeMutableRawPointer, _ reset: Reset) {
        header.setWire8(0, 0x45)
        header.setWire16(2, 40)
        header.setWire16(6, 0x4000)
        header.setWire8(8, reset.timeToLive)
        header.setWire8(9, 6)
        header.setWire32(12, reset.source.v4)
        header.setWire32(16, reset.destination.v4)
        var sum = InternetChecksum()
        sum.add(UnsafeRawPointer(header), count: 20)
        header.setWire16(10, sum.value)
    }

    private mutating func writeIPv6(_ header: UnsafeMutableRawPointer, _ reset: Reset) {
        header.setWire32(0, 0x6000_0000)
        header.setWire16(4, 20)
        header.setWire8(6, 6)
        header.setWire8(7, reset.timeToLive)
        header.setWire64(8, reset.source.high)
        header.setWire64(16, reset.source.low)
        header.setWire64(24, reset.destination.high)
        header.setWire64(32, reset.destination.low)
    }
}
