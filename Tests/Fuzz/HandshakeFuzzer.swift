import Wire

// Anything at all, as a frame of a client that nobody knows. The first byte says what is offered, and whether checksums are
// mended first, so that more than they is looked at; the second, how much room there is.
//
// What must hold:
// - nothing is read or written beyond the frame and its room (the address sanitizer watches);
// - a frame that is refused stays as it was;
// - an answer is a SYN/ACK whose checksums are right, and the ACK that it asks for opens the connection that the SYN named.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count >= 2 else { return 0 }
    let choice = start[0]
    let length = count - 2
    let room = Int(start[1])
    let frame = UnsafeMutableRawPointer.allocate(byteCount: max(length, room, 1), alignment: 1)
    defer { frame.deallocate() }
    frame.copyMemory(from: start + 2, byteCount: length)
    let bytes = UnsafeRawPointer(frame)
    let layout = PacketLayout(of: bytes, length: length)
    if choice & 1 != 0, layout.kind == .tcp { mendChecksums(frame, layout) }

    let offer = HandshakeOffer(
        windowScale: choice & 2 != 0 ? choice >> 4 : 0xFF, sack: choice & 4 != 0, timestamps: choice & 8 != 0, ecn: true
    )
    let director = Director(offer: offer, milliseconds: UInt32(choice) &* 16_843_009)
    // Whoever can tell by chance what is good has made a cookie, and it is his.
    _ = director.check(bytes, layout)

    let before = Array(UnsafeRawBufferPointer(start: bytes, count: length))
    let answer = SYNAnswer.answer(
        frame, layout, room: room, offer: offer, key: Director.key, milliseconds: director.milliseconds)
    switch answer {
    case .refused: precondition(before.elementsEqual(UnsafeRawBufferPointer(start: bytes, count: length)))
    case .answered(let answered):
        precondition(answered <= room && answered >= 60)
        precondition(layout.hasValidChecksum(before))
        director.complete(frame, length: answered, syn: before, layout)
    }
    return 0
}

private struct Director {
    static var key: CookieKey { CookieKey(secret: CookieSecret(low: 0x0123_4567, high: 0x89AB_CDEF), minute: 77) }

    var offer: HandshakeOffer
    var milliseconds: UInt32

    func check(_ frame: UnsafeRawPointer, _ layout: PacketLayout) -> CookieReturn {
        CookieReturn.check(frame, layout, offer: offer, key: Self.key, milliseconds: milliseconds)
    }

    /// Turns the answer into what a client sends then: every field goes back where it came from.
    func complete(_ frame: UnsafeMutableRawPointer, length: Int, syn: [UInt8], _ asked: PacketLayout) {
        let bytes = UnsafeRawPointer(frame)
        let layout = PacketLayout(of: bytes, length: length)
        let header = TCPHeader(bytes + Int(layout.transport))
        let (own, other) = syn.withUnsafeBytes { raw in
            (TCPHeader(raw.baseAddress! + Int(asked.transport)).sequence, asked.key(raw.baseAddress!, fromClient: true))
        }
        precondition(layout.kind == .tcp && layout.hasValidChecksum(bytes) && layout.payloadLength == 0)
        precondition(header.flags.has([.syn, .ack]) && header.flags.lacks([.rst, .fin, .psh, .urg, .cwr]))
        precondition(header.acknowledgement == own + 1 && layout.key(bytes, fromClient: false) == other)
        let options = TCPOptions(of: header)
        precondition(!options.isMalformed && options.maximumSegmentSize > 0)
        let isn = header.sequence

        let network = Int(layout.network)
        let tcp = frame + Int(layout.transport)
        let (source, destination) =
            (layout.source(bytes, ipHeader: network), layout.destination(bytes, ipHeader: network))
        let size = layout.isV6 ? 16 : 4
        let addresses = frame + network + (layout.isV6 ? 8 : 12)
        for index in 0..<size { swap(addresses + index, addresses + size + index) }
        for index in 0..<2 { swap(tcp + index, tcp + 2 + index) }
        tcp.setWire32(4, own.value &+ 1)
        tcp.setWire32(8, isn.value &+ 1)
        tcp.setWire8(13, TCPFlags.ack.rawValue)
        if options.hasTimestamps {
            tcp.setWire32(28, options.timestampEcho)
            tcp.setWire32(32, options.timestampValue)
        }
        precondition(layout.source(bytes, ipHeader: network) == destination)
        precondition(layout.destination(bytes, ipHeader: network) == source)
        mendChecksums(frame, layout)
        guard case .accepted(let state) = check(bytes, layout) else { preconditionFailure("not accepted") }
        precondition(state.clientISN == own && state.serverISN == isn)
        precondition(state.options.timestamps == options.hasTimestamps && state.options.sack == options.sackPermitted)
        precondition(state.options.windowScale == (options.windowScale <= 14))
    }

    private func swap(_ one: UnsafeMutableRawPointer, _ other: UnsafeMutableRawPointer) {
        let byte = one.load(as: UInt8.self)
        one.storeBytes(of: other.load(as: UInt8.self), as: UInt8.self)
        other.storeBytes(of: byte, as: UInt8.self)
    }
}

private func mendChecksums(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout) {
    let network = Int(layout.network)
    if !layout.isV6 {
        frame.setWire16(network + 10, 0)
        var sum = InternetChecksum()
        sum.add(frame + network, count: Int(UnsafeRawPointer(frame).wire8(network) & 15) * 4)
        frame.setWire16(network + 10, sum.value)
    }
    frame.setWire16(Int(layout.transport) + 16, 0)
    frame.setWire16(Int(layout.transport) + 16, layout.computedChecksum(frame))
}
