import Wire

// Sixteen bytes of differences, then anything at all as an Ethernet frame, TCP segments and ICMP errors among it.
//
// What must hold of any frame (the address sanitizer watches that nothing outside it is touched):
// - what is refused has not changed by a byte;
// - right checksums stay right, and wrong ones wrong;
// - nothing but headers changes, and the frame is laid out as before;
// - an error that is translated there and back quotes the same sequence number.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    guard count > 16, let base = bytes.baseAddress else { return 0 }
    let frame = UnsafeRawBufferPointer(rebasing: bytes[16...])
    let flags = base.wire8(12)
    func view(_ flags: UInt8, _ offset: Int) -> Translation.View {
        Translation.View(
            serverSequence: SequenceNumber(base.wire32(offset)), serverTimestamp: base.wire32(4 - offset),
            options: NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: base.wire8(8 + offset / 2),
                serverWindowScale: base.wire8(9 + offset / 2), windowScale: flags & 1 != 0, sack: flags & 2 != 0,
                timestamps: flags & 4 != 0))
    }
    let translation = Translation(client: view(flags, 0), server: view(flags >> 3, 4))
    check(frame) { translation.toClient($0, $1) }
    check(frame) { translation.toServer($0, $1) }

    let isV6 = PacketLayout(of: base + 16, length: frame.count).isV6
    let address = isV6 ? IPAddress(high: base.wire64(0), low: base.wire64(8)) : IPAddress(v4: base.wire32(0))
    let other = isV6 ? IPAddress(high: base.wire64(8), low: 1) : IPAddress(v4: base.wire32(4))
    let key = FlowKey(client: address, clientPort: base.wire16(8), server: other, serverPort: base.wire16(10))
    check(frame) { key.readdress($0, $1, fromClient: flags & 64 != 0) }
    checkQuoteComesBack(frame, translation)
    return 0
}

private func check(
    _ frame: UnsafeRawBufferPointer, _ change: (UnsafeMutableRawPointer, PacketLayout) -> Bool
) {
    // Exactly its size, on the heap.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyMemory(from: frame)
    guard let start = copy.baseAddress, let original = frame.baseAddress else { return }
    let layout = PacketLayout(of: start, length: copy.count)
    guard change(start, layout) else {
        precondition(frame.elementsEqual(copy), "refused and changed")
        return
    }
    precondition(layout.kind == .tcp || layout.kind == .icmpError)
    precondition(PacketLayout(of: start, length: copy.count) == layout, "laid out anew")
    let end = layout.kind == .tcp ? Int(layout.payload) : min(frame.count, Int(layout.payload) + 60)
    precondition(frame[..<Int(layout.network)].elementsEqual(copy[..<Int(layout.network)]), "before the headers")
    precondition(frame[end...].elementsEqual(copy[end...]), "behind the headers")
    precondition(
        sums(original, layout) == sums(UnsafeRawPointer(start), layout), "a checksum has become right or wrong")
}

/// Whether the checksum of the whole message and, of IPv4, the header's are right.
private func sums(_ frame: UnsafeRawPointer, _ layout: PacketLayout) -> [Bool] {
    let network = Int(layout.network)
    let start = Int(layout.transport)
    let end = Int(layout.payload) + Int(layout.payloadLength)
    var message = InternetChecksum()
    if layout.kind == .tcp || layout.isV6 {
        message.add(frame + network + (layout.isV6 ? 8 : 12), count: layout.isV6 ? 32 : 8)
        message.add(word: UInt16(truncatingIfNeeded: end - start))
        message.add(word: layout.kind == .tcp ? 6 : 58)
    }
    message.add(frame + start, count: end - start)
    guard !layout.isV6 else { return [message.isValid] }
    var header = InternetChecksum()
    header.add(frame + network, count: Int(frame.wire8(network) & 15) * 4)
    return [message.isValid, header.isValid]
}

private func checkQuoteComesBack(_ frame: UnsafeRawBufferPointer, _ translation: Translation) {
    var copy = [UInt8](frame)
    copy.withUnsafeMutableBytes { bytes in
        guard let start = bytes.baseAddress, let original = frame.baseAddress else { return }
        let layout = PacketLayout(of: start, length: bytes.count)
        guard layout.kind == .icmpError else { return }
        let inverse = Translation(
            client: .init(serverSequence: .init(0), serverTimestamp: 0, options: .init(clientMSS: 0, serverMSS: 0)),
            server: .init(
                serverSequence: .init(translation.sequence), serverTimestamp: translation.timestamp,
                options: .init(clientMSS: 0, serverMSS: 0)))
        precondition(translation.toServer(start, layout) && inverse.toServer(start, layout))
        let sequence = Int(layout.payload) + 4
        precondition(UnsafeRawPointer(start).wire32(sequence) == original.wire32(sequence))
    }
}
