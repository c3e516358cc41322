public import Synchronization

/// A bounded queue between exactly one producing and one consuming core, without locks.
///
/// A slot holds one fixed-size message and, where `payloadCapacity` is not 0, some bytes that go with it. The
/// producer's and the consumer's index live on cache lines of their own, each beside that core's copy of the other's,
/// so an index crosses between cores only when the copy says full or empty.
///
/// The memory is never freed: rings live as long as the process.
public struct Ring<Message: BitwiseCopyable>: @unchecked Sendable {
    @usableFromInline let header: UnsafeMutablePointer<RingHeader>
    @usableFromInline let slots: UnsafeMutableRawPointer
    @usableFromInline let slotStride: Int
    @usableFromInline let payloadOffset: Int
    @usableFromInline let mask: UInt64

    /// Most bytes that can go with a message.
    public let payloadCapacity: Int
    public var capacity: Int { Int(mask) + 1 }

    /// - Parameter capacity: slots; rounded up to a power of two.
    public init(capacity: Int, payloadCapacity: Int = 0) {
        var slotCount = 2
        while slotCount < capacity { slotCount *= 2 }
        self.payloadCapacity = payloadCapacity
        payloadOffset = (MemoryLayout<Message>.size + 4 + 7) & ~7
        slotStride = (payloadOffset + payloadCapacity + 63) & ~63
        mask = UInt64(slotCount) - 1
        slots = .allocate(byteCount: slotStride * slotCount, alignment: 64)
        // Touched now, so that no core meets a page fault later, and the memory that is used is used from the start.
        slots.initializeMemory(as: UInt8.self, repeating: 0, count: slotStride * slotCount)
        header = UnsafeMutableRawPointer.allocate(byteCount: 192, alignment: 64)
            .bindMemory(to: RingHeader.self, capacity: 1)
        header.initialize(to: RingHeader())
    }

    /// Producer: true when `count` more messages fit.
    @inlinable
    public func hasRoom(for count: Int) -> Bool {
        let tail = header.pointee.tail.load(ordering: .relaxed)
        if tail &+ UInt64(count) &- header.pointee.cachedHead <= mask &+ 1 { return true }
        header.pointee.cachedHead = header.pointee.head.load(ordering: .acquiring)
        return tail &+ UInt64(count) &- header.pointee.cachedHead <= mask &+ 1
    }

    /// Producer: appends a message with its payload (cut at `payloadCapacity`). False when the ring is full.
    @inlinable
    public func push(_ message: Message, payload: UnsafeRawBufferPointer = .init(start: nil, count: 0)) -> Bool {
        guard hasRoom(for: 1) else { return false }
        let tail = header.pointee.tail.load(ordering: .relaxed)
        let slot = slots + Int(tail & mask) &* slotStride
        slot.storeBytes(of: message, as: Message.self)
        let length = min(payload.count, payloadCapacity)
        slot.storeBytes(of: UInt32(length), toByteOffset: payloadOffset &- 4, as: UInt32.self)
        if length > 0, let start = payload.baseAddress {
            (slot + payloadOffset).copyMemory(from: start, byteCount: length)
        }
        header.pointee.tail.store(tail &+ 1, ordering: .releasing)
        return true
    }

    /// Consumer: true when a message waits.
    @inlinable
    public var hasMessage: Bool {
        let head = header.pointee.head.load(ordering: .relaxed)
        if head != header.pointee.cachedTail { return true }
        header.pointee.cachedTail = header.pointee.tail.load(ordering: .acquiring)
        return head != header.pointee.cachedTail
    }

    /// Consumer: takes the oldest message; nil when the ring is empty. `body` sees the payload, which is only good
    /// until it returns.
    @inlinable
    public func pop<Result>(_ body: (Message, UnsafeRawBufferPointer) -> Result) -> Result? {
        guard hasMessage else { return nil }
        let head = header.pointee.head.load(ordering: .relaxed)
        let slot = slots + Int(head & mask) &* slotStride
        let length = Int(slot.load(fromByteOffset: payloadOffset &- 4, as: UInt32.self))
        let result = body(
            slot.loadUnaligned(as: Message.self), UnsafeRawBufferPointer(start: slot + payloadOffset, count: length))
        header.pointee.head.store(head &+ 1, ordering: .releasing)
        return result
    }

    /// Consumer: takes the oldest message without a look at its payload.
    @inlinable
    public func pop() -> Message? { pop { message, _ in message } }
}

/// The two ends of a ring, a cache line each.
@usableFromInline
struct RingHeader: ~Copyable {
    /// Producer's line: the next slot to fill, and what the producer last saw of `head`.
    @usableFromInline let tail = Atomic<UInt64>(0)
    @usableFromInline var cachedHead: UInt64 = 0
    @usableFromInline let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
    /// Consumer's line: the next slot to empty, and what the consumer last saw of `tail`.
    @usableFromInline let head = Atomic<UInt64>(0)
    @usableFromInline var cachedTail: UInt64 = 0

    @usableFromInline init() {}
}
