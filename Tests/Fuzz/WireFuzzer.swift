import Wire

// Anything at all, read as a request or, when the first byte is 0xF0 or more, as an Ethernet frame; from 0xE0 on, as a
// UDP datagram: a DNS query, a QUIC packet, and the frames of one; from 0xD0 on, as the answer to a request; from 0xC0 on,
// as what comes through a tunnel.
//
// What must hold of requests:
// - every range that comes back lies within the head, and the head within the bytes;
// - the answer does not depend on where the bytes were cut: once a prefix has decided, it stays decided.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    let rest = UnsafeRawBufferPointer(rebasing: bytes[2...])
    if bytes[0] >= 0xF0 {
        fuzzFrame(rest, fromClient: bytes[1] & 1 == 0)
    } else if bytes[0] >= 0xE0 {
        fuzzDatagram(rest, cut: Int(bytes[1]))
    } else if bytes[0] >= 0xD0 {
        fuzzAnswer(rest, cut: Int(bytes[1]))
    } else if bytes[0] >= 0xC0 {
        fuzzTunnel(rest, choice: bytes[1])
    } else {
        fuzzRequests(rest, choice: bytes[0], cut: Int(bytes[1]))
    }
    return 0
}

private func fuzzRequests(_ bytes: UnsafeRawBufferPointer, choice: UInt8, cut: Int) {
    let wanted = Application(rawValue: choice & 15)
    let whole = recogniseRequest(bytes, wanted: wanted)
    if case .request(let request) = whole {
        precondition(request.headLength > 0 && request.headLength <= bytes.count)
        precondition(request.host.end <= request.headLength && request.path.end <= request.headLength)
        precondition(!request.host.isEmpty)
        precondition(wanted.contains(request.application))
        if !request.path.isEmpty { precondition(bytes[Int(request.path.start)] == 0x2F) }
        let head = UnsafeRawBufferPointer(rebasing: bytes[..<request.headLength])
        precondition(recogniseRequest(head, wanted: wanted) == whole)
        let shorter = UnsafeRawBufferPointer(rebasing: bytes[..<(request.headLength - 1)])
        precondition(recogniseRequest(shorter, wanted: wanted) == .incomplete)
    }
    let prefix = UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, cut)])
    let early = recogniseRequest(prefix, wanted: wanted)
    switch (early, whole) {
    case (.incomplete, _): break
    case (.request, _): precondition(early == whole)
    // With mail and web on one port the reason may become another one, the verdict may not.
    case (.unsuitable, .unsuitable): break
    case (.unsuitable, _): preconditionFailure("taken back")
    }
}

/// What is found lies within the payload, is a whole packet by its own account, and is found again when it is sent on.
private func fuzzTunnel(_ payload: UnsafeRawBufferPointer, choice: UInt8) {
    let kind = Encapsulation.Kind.allCases[Int(choice) % 3]
    guard let contents = try? EncapsulatedPacket.contents(of: payload, kind: kind, network: 5) else { return }
    let range = contents.range
    precondition(range.lowerBound >= 0 && range.upperBound <= payload.count && range.count >= 20)
    let isV4 = choice & 0x80 != 0
    let ends = isV4 ? (IPAddress(v4: 1), IPAddress(v4: 2)) : (IPAddress(high: 1, low: 1), IPAddress(high: 1, low: 2))
    let template = UnsafeMutableRawPointer.allocate(byteCount: Encapsulation.longestOverhead, alignment: 1)
    defer { template.deallocate() }
    var encapsulation = Encapsulation(kind, from: ends.0, to: ends.1, network: 5)
    encapsulation.namesFlows = contents.flow != 0
    let header = EncapsulationHeader(encapsulation, in: template)
    // Exactly the room that is needed: the address sanitizer watches.
    let packet = UnsafeMutableRawBufferPointer.allocate(byteCount: header.length + range.count, alignment: 1)
    defer { packet.deallocate() }
    let inner = UnsafeMutableRawBufferPointer(rebasing: packet[header.length...])
    inner.copyMemory(from: UnsafeRawBufferPointer(rebasing: payload[range]))
    _ = EncapsulatedPacket.combineMarks(inner.baseAddress!, outer: choice)
    header.write(before: inner.baseAddress!, count: inner.count, flow: contents.flow)
    let start = (isV4 ? 20 : 40) + (kind == .ipip ? 0 : 8)
    let again = UnsafeRawBufferPointer(rebasing: packet[start...])
    guard let found = try? EncapsulatedPacket.contents(of: again, kind: kind, network: 5) else {
        preconditionFailure("not found again")
    }
    precondition(start + found.start == header.length && found.length == range.count && found.flow == contents.flow)
}

/// Everything that a layout promises lies within the frame (the address sanitizer watches the reads), and checksums that
/// are computed and stored are right.
private func fuzzFrame(_ frame: UnsafeRawBufferPointer, fromClient: Bool) {
    guard let base = frame.baseAddress else { return }
    fuzzNeighborMessage(base, length: frame.count)
    let layout = PacketLayout(of: base, length: frame.count)
    _ = TunnelError(of: base, layout, length: frame.count)
    switch layout.kind {
    case .tcp:
        precondition(layout.network >= 14 && layout.transport >= layout.network + 20)
        precondition(layout.payload >= layout.transport + 20)
        precondition(Int(layout.payload) + Int(layout.payloadLength) <= frame.count)
        let header = TCPHeader(base + Int(layout.transport))
        precondition(Int(layout.transport) + header.length == Int(layout.payload))
        let options = TCPOptions(of: header)
        precondition(options.windowScale <= 14 || options.windowScale == 0xFF)
        precondition(Int(options.maximumSegmentSizeOffset) + 2 <= header.length)
        let key = layout.key(base, fromClient: fromClient)
        precondition(key.vlan == layout.vlan && key.isV6 == layout.isV6)
        _ = layout.hasValidChecksum(base)

        var copy = [UInt8](frame)
        copy.withUnsafeMutableBytes { bytes in
            let field = Int(layout.transport) + 16
            bytes.storeBytes(of: 0, toByteOffset: field, as: UInt16.self)
            guard let again = bytes.baseAddress else { return }
            if !layout.isV6 {
                let network = Int(layout.network)
                bytes.storeBytes(of: 0, toByteOffset: network + 10, as: UInt16.self)
                var header = InternetChecksum()
                header.add(again + network, count: Int(bytes[network] & 15) * 4)
                bytes.storeBytes(of: header.value.bigEndian, toByteOffset: network + 10, as: UInt16.self)
            }
            let sum = layout.computedChecksum(again)
            bytes.storeBytes(of: sum.bigEndian, toByteOffset: field, as: UInt16.self)
            precondition(layout.hasValidChecksum(again))
        }
    case .udp:
        precondition(layout.payload == layout.transport + 8)
        precondition(Int(layout.payload) + Int(layout.payloadLength) <= frame.count)
        _ = layout.hasValidChecksum(base)
        _ = layout.key(base, fromClient: fromClient).key
    case .icmpError: _ = layout.key(base, fromClient: fromClient).key
    case .fragment, .other: break
    }
}

/// Names are of host-name characters and no longer than they may be; offsets lie within the packet; a stream that came in
/// two pieces, the second one first, is the stream that came in one.
private func fuzzDatagram(_ datagram: UnsafeRawBufferPointer, cut: Int) {
    if let question = DNSQuestion(datagram) {
        precondition(DNSQuestion.isQuery(datagram) && DNSQuestion.haveSameName(datagram, datagram))
        precondition(!question.name.isEmpty && question.name.count <= DNSQuestion.maximumName)
        precondition(question.name.first != 0x2E && question.name.last != 0x2E)
    }
    if let header = QUICLongHeader(datagram) {
        precondition(header.end <= datagram.count && header.destination.end < header.end + 1)
        precondition(header.destination.count <= 20 && header.source.count <= 20)
    }
    if let packet = QUICInitialPacket(datagram) {
        precondition(packet.header.isInitial && packet.header.end < packet.number)
        precondition(packet.number + QUICInitialPacket.leastProtected <= packet.end && packet.end <= datagram.count)
    }
    var frames = QUICHandshakeStream()
    if frames.take(frames: datagram) {
        var again = frames
        precondition(again.take(frames: datagram) && again == frames)
        _ = frames.contiguous.withUnsafeBytes { recogniseQUICHandshake($0) }
    }
    let middle = min(cut, datagram.count)
    var whole = QUICHandshakeStream()
    var parts = QUICHandshakeStream()
    guard whole.insert(datagram, at: 0),
        parts.insert(UnsafeRawBufferPointer(rebasing: datagram[middle...]), at: middle),
        parts.insert(UnsafeRawBufferPointer(rebasing: datagram[..<middle]), at: 0)
    else { return }
    precondition(whole == parts)
}

/// What can be read is written again to what reads the same.
private func fuzzNeighborMessage(_ frame: UnsafeRawPointer, length: Int) {
    guard let message = NeighborMessage(of: frame, length: length) else { return }
    let again = message.frame(to: message.kind == .answer ? (message.sender, message.senderMAC) : nil)
    again.withUnsafeBytes { bytes in
        guard let start = bytes.baseAddress else { return }
        let second = NeighborMessage(of: start, length: bytes.count)
        precondition(second == message)
    }
}

/// An answer ends at one place, however its chunks are cut, and where a reader says that counts in whole numbers.
private func fuzzAnswer(_ bytes: UnsafeRawBufferPointer, cut: Int) {
    var any = ResponseFollower()
    _ = any.read(bytes)

    let head = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
    var begun = ResponseFollower()
    precondition(head.withUnsafeBytes { begun.read($0) } == .goesOn)
    guard !bytes.isEmpty else { return }
    var whole = begun
    let end = whole.read(bytes)
    precondition(end == endOfChunks(bytes))

    let middle = min(cut, bytes.count)
    let early = begun.read(UnsafeRawBufferPointer(rebasing: bytes[..<middle]))
    guard middle < bytes.count, middle > 0 else { return }
    guard early == .goesOn else { return precondition(early == end) }
    switch begun.read(UnsafeRawBufferPointer(rebasing: bytes[middle...])) {
    case .ends(let length): precondition(end == .ends(after: UInt32(middle) + length))
    case .goesOn: precondition(end == .goesOn && whole == begun)
    case .unclear: precondition(end == .unclear)
    }
}

/// RFC 9112 section 7.1 without extensions and trailers, read naively.
private func endOfChunks(_ bytes: UnsafeRawBufferPointer) -> ResponseFollower.Step {
    var position = 0
    func take(_ byte: UInt8) -> ResponseFollower.Step? {
        guard position < bytes.count else { return .goesOn }
        guard bytes[position] == byte else { return .unclear }
        position += 1
        return nil
    }
    while true {
        let start = position
        var size = 0
        while position < bytes.count, let digit = Character(UnicodeScalar(bytes[position])).hexDigitValue {
            size = size * 16 + digit
            guard size <= Int(ResponseFollower.longestBody) else { return .unclear }
            position += 1
        }
        guard position < bytes.count else { return .goesOn }
        guard position > start else { return .unclear }
        if let end = take(13) ?? take(10) { return end }
        if size == 0 {
            if let end = take(13) ?? take(10) { return end }
            return .ends(after: UInt32(position))
        }
        guard position + size <= bytes.count else { return .goesOn }
        position += size
        if let end = take(13) ?? take(10) { return end }
    }
}
