import CDPDKShim
import InterCore
import Wire

/// The few packets that a worker changes for a transfer.
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
        clamp(&edit, options, isV6: packet.layout.isV6)
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

    /// A SYN/ACK's MSS, down to the configured one, or to what fits on the way to every proxy beyond layer 2.
    mutating func clampMSS(_ packet: Packet, _ options: TCPOptions) {
        var edit = HeaderEdit(packet.bytes + Int(packet.layout.transport))
        clamp(&edit, options, isV6: packet.layout.isV6)
        edit.updateChecksum(16, after: edit.change)
    }

    private mutating func clamp(_ edit: inout HeaderEdit, _ options: TCPOptions, isV6: Bool) {
        let limit = isV6 ? tunnels.segmentLimitV6 : tunnels.segmentLimitV4
        guard limit > 0, edit.clampMaximumSegmentSize(options, to: limit) else { return }
        counters.add(.segmentsClamped)
    }
}
