import CRTP
import Wire

// What must hold of any bytes: a connection in a blob is read or refused, and one that is read is written again to what
// reads the same. And of any fragments and receipts, in any order and at any time: everything is counted once, no more is
// held than is allowed, and nothing comes out whole but what its checksum says.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    fuzzConnection(bytes)
    fuzzReceiver(bytes)
    fuzzSender(bytes)
    return 0
}

private func fuzzConnection(_ bytes: [UInt8]) {
    guard let blob = try? ConnectionBlob(decoding: bytes) else { return }
    let again = blob.encode()
    precondition(again.count == blob.byteCount && (try? ConnectionBlob(decoding: again)) == blob)
}

/// Takes an input apart, a number at a time; zeros behind its end.
private struct Script {
    private let bytes: [UInt8]
    private var offset = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var isAtEnd: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        defer { offset += 1 }
        return offset < bytes.count ? bytes[offset] : 0
    }
    mutating func number() -> Int { Int(byte()) << 8 | Int(byte()) }
    mutating func take(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }
}

private func fuzzReceiver(_ bytes: [UInt8]) {
    var limits = BlobReceiver.Limits()
    limits.longest = 300
    limits.blobsPerPeer = 2
    limits.bytesPerPeer = 500
    limits.blobs = 3
    limits.bytes = 700
    limits.memories = 3
    var receiver = BlobReceiver(limits: limits)
    var script = Script(bytes)
    var now: UInt64 = 0
    var checksums: [UInt64: Set<UInt32>] = [:]
    while !script.isAtEnd {
        let choice = script.byte()
        now += UInt64(choice >> 4) * 3_000_000
        let blob = UInt64(choice & 3)
        switch choice & 12 {
        case 0:
            if let whole = receiver.take(blob, now: now) {
                precondition(checksums[blob, default: []].contains(CRC32C.of(whole)) && whole.count <= 300)
            }
        case 4: receiver.refuse(blob, .unwanted, now: now)
        default:
            // Mostly what agrees with itself, so that it gets further than the first check.
            let (length, size) = (Int(script.byte()) * 2, max(1, Int(script.byte())))
            let pieces = max(1, (length + size - 1) / size)
            let index = Int(script.byte()) % pieces
            let due = min(size, length - index * size)
            var piece = script.take(min(due, 8)) + [UInt8](repeating: 7, count: max(0, due - 8))
            if script.byte() > 250 { piece.append(0) }
            let whole = [UInt8](repeating: 7, count: length)
            let checksum = script.byte() < 200 ? CRC32C.of(whole) : UInt32(script.byte())
            checksums[blob, default: []].insert(checksum)
            let fragment = BlobFragment(
                blob: blob, length: UInt32(length), checksum: checksum, index: UInt16(index), count: UInt16(pieces),
                fragmentBytes: UInt16(size), bytes: piece)
            let receipt = receiver.receive(fragment, attempt: choice >> 6, from: Int(script.byte() & 3), now: now)
            if let receipt {
                precondition(receipt.blob == blob && Int(receipt.index) == index && receipt.bitmap.count <= 1_216)
            }
        }
        let c = receiver.counters
        precondition(
            c.fragments == c.kept + c.duplicates + c.contradictions + c.malformed + c.refusedBusy + c.refusedTooBig
                + c.refusedAgain)
        precondition(
            c.begun == c.delivered + c.dropped + c.checksumFailures + c.expired + UInt64(receiver.blobsHeld))
        precondition(receiver.blobsHeld <= 3 && receiver.bytesHeld <= 700)
        receiver.completed = []
    }
    receiver.advance(to: now + 60_000_000)
    precondition(receiver.blobsHeld == 0 && receiver.bytesHeld == 0 && receiver.nextDeadline == nil)
}

private func fuzzSender(_ bytes: [UInt8]) {
    var sender = BlobSender(initiateBytes: 256)
    var script = Script(bytes)
    var now: UInt64 = 0
    for identifier in 0..<3 as Range<UInt64> {
        _ = sender.send(
            [UInt8](repeating: 1, count: script.number() & 0x1FFF), identifier: identifier,
            mayBeThere: script.byte() > 128, now: now)
    }
    while !script.isAtEnd {
        let choice = script.byte()
        now += UInt64(choice >> 3) * 1_000
        let states: [BlobReceipt.State] = [
            .receiving, .receiving, .receiving, .receiving, .complete, .refused(.busy), .refused(.checksum), .receiving,
        ]
        switch choice & 7 {
        case 0: now += 2_000_000
        case 1 where choice > 200: sender.cancel(UInt64(choice & 3), now: now)
        default:
            sender.receive(
                BlobReceipt(
                    blob: UInt64(choice & 3), state: states[Int(script.byte() & 7)], index: UInt16(script.byte()),
                    bitmap: script.take(Int(script.byte() & 15))),
                attempt: script.byte() & 0x83, now: now)
        }
        sender.advance(to: now)
        check(sender)
        for case .send(let frame) in sender.actions { precondition(MessageCodec.byteCount(frame.message) + 48 <= 256) }
        sender.actions = []
    }
    // Without an answer it ends.
    for _ in 0..<400 {
        guard let due = sender.nextDeadline else { break }
        precondition(due + 60_000_000 > now)
        now = max(now, due)
        sender.advance(to: now)
        sender.actions = []
    }
    precondition(sender.identifiers.isEmpty && sender.nextDeadline == nil)
    check(sender)
}

private func check(_ sender: BlobSender) {
    let c = sender.counters
    precondition(c.receipts == c.used + c.unknownReceipts + c.staleReceipts)
    precondition(c.begun == c.delivered + c.refused + c.unanswered + c.cancelled + UInt64(sender.identifiers.count))
}
