import CDPDKShim
import Wire

/// The packets that one flow holds, in order of their sequence numbers. Packets are linked through their own private
/// bytes, so holding allocates nothing.
package struct HoldList: BitwiseCopyable {
    package private(set) var first: OpaquePointer?
    package private(set) var count: UInt32 = 0
    /// Payload bytes, overlaps counted twice.
    package private(set) var bytes: UInt32 = 0

    package init() {}

    /// Puts a packet in its place. O(packets held).
    mutating func insert(_ packet: OpaquePointer, sequence: SequenceNumber, layout: PacketLayout, isFinal: Bool) {
        let note = HeldNote.of(packet)
        note.initialize(
            to: HeldNote(
                next: nil, sequence: sequence, length: layout.payloadLength, payload: layout.payload,
                network: layout.network, transport: layout.transport, isFinal: isFinal))
        count &+= 1
        bytes &+= UInt32(layout.payloadLength)
        guard var previous = first, HeldNote.of(previous).pointee.sequence.isAtOrBefore(sequence) else {
            note.pointee.next = first
            first = packet
            return
        }
        while let next = HeldNote.of(previous).pointee.next, HeldNote.of(next).pointee.sequence.isAtOrBefore(sequence) {
            previous = next
        }
        note.pointee.next = HeldNote.of(previous).pointee.next
        HeldNote.of(previous).pointee.next = packet
    }

    /// Takes the first packet out.
    mutating func removeFirst() -> OpaquePointer? {
        guard let packet = first else { return nil }
        let note = HeldNote.of(packet)
        first = note.pointee.next
        count &-= 1
        bytes &-= UInt32(note.pointee.length)
        return packet
    }

    /// True when every byte of `length` from `sequence` on is held already.
    func covers(_ sequence: SequenceNumber, length: UInt32) -> Bool {
        var next = sequence
        let end = sequence + length
        var cursor = first
        while let packet = cursor, next.isBefore(end) {
            let note = HeldNote.of(packet)
            let start = note.pointee.sequence
            let stop = start + UInt32(note.pointee.length)
            if start.isAtOrBefore(next), stop.isAfter(next) { next = stop }
            cursor = note.pointee.next
        }
        return !next.isBefore(end)
    }

    /// IP length of the longest packet held, in bytes.
    var longestPacket: Int {
        var longest = 0
        var cursor = first
        while let packet = cursor {
            let note = HeldNote.of(packet)
            longest = max(longest, Int(note.pointee.payload) &+ Int(note.pointee.length) &- Int(note.pointee.network))
            cursor = note.pointee.next
        }
        return longest
    }

    /// True when a FIN is held.
    var holdsFinal: Bool {
        var cursor = first
        while let packet = cursor {
            if HeldNote.of(packet).pointee.isFinal { return true }
            cursor = HeldNote.of(packet).pointee.next
        }
        return false
    }

    /// Copies the bytes from `start` on, without a gap, and returns how many there are.
    func gather(from start: SequenceNumber, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        var cursor = first
        while let packet = cursor {
            let note = HeldNote.of(packet)
            let skip = Int((start + UInt32(filled)).distance(from: note.pointee.sequence))
            if skip < 0 { break }
            let usable = Int(note.pointee.length) &- skip
            if usable > 0 {
                let amount = min(usable, buffer.count &- filled)
                (buffer.baseAddress! + filled).copyMemory(
                    from: shim_mbuf_data(packet) + Int(note.pointee.payload) + skip, byteCount: amount)
                filled &+= amount
                if amount < usable { break }
            }
            cursor = note.pointee.next
        }
        return filled
    }
}

/// What is kept beside a held packet, in its 64 private bytes.
struct HeldNote: BitwiseCopyable {
    var next: OpaquePointer?
    var sequence: SequenceNumber
    var length: UInt16
    var payload: UInt16
    var network: UInt16
    var transport: UInt16
    var isFinal: Bool

    @inline(__always)
    static func of(_ packet: OpaquePointer) -> UnsafeMutablePointer<HeldNote> {
        shim_mbuf_private(packet).assumingMemoryBound(to: HeldNote.self)
    }
}
