import InterCore

/// A worker's part of a capture. While it is off, a burst costs one look at `isOn`.
struct PacketCapture {
    private(set) var isOn = false
    private(set) var order = CaptureOrder.off
    /// Of the burst's places: a packet that the order wants.
    let isWanted: UnsafeMutablePointer<Bool>
    /// A frame as it came, kept until its verdict is known.
    let frame: UnsafeMutableRawBufferPointer
    /// What the reasons for drops had been counted to.
    let drops: UnsafeMutablePointer<UInt64>
    var serial: UInt64 = 0
    /// Packets that this tenth of a second still has room for.
    private var credit: UInt32 = 0
    private var filledAt: UInt64 = 0

    init() {
        isWanted = .allocate(capacity: Burst.size)
        isWanted.initialize(repeating: false, count: Burst.size)
        frame = .allocate(byteCount: CaptureOrder.longestSnap, alignment: 64)
        drops = .allocate(capacity: Self.dropCount)
        drops.initialize(repeating: 0, count: Self.dropCount)
    }

    mutating func begin(_ order: CaptureOrder) {
        self.order = order
        isOn = order.isOn
        credit = 0
        filledAt = 0
    }

    /// False when the order's rate is used up.
    mutating func hasCredit(now: UInt64, hertz: UInt64) -> Bool {
        if filledAt == 0 || now &- filledAt >= hertz / 10 {
            filledAt = now
            credit = max(order.packetsPerSecond / 10, 1)
        }
        guard credit > 0 else { return false }
        credit &-= 1
        return true
    }

    // MARK: reasons for drops, which lie beside one another

    private static var firstDrop: Int { Counter.droppedTransmitFull.rawValue }
    private static var dropCount: Int { Counter.droppedTombstone.rawValue &- firstDrop &+ 1 }

    func noteDrops(_ counters: CounterBlock) {
        var index = 0
        while index < Self.dropCount {
            drops[index] = counters[raw: Self.firstDrop &+ index]
            index &+= 1
        }
    }

    /// The reason that has been counted since.
    func drop(since counters: CounterBlock) -> Counter? {
        var index = 0
        while index < Self.dropCount {
            if counters[raw: Self.firstDrop &+ index] != drops[index] {
                return Counter(rawValue: Self.firstDrop &+ index)
            }
            index &+= 1
        }
        return nil
    }
}
