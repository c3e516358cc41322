/// Which connections without a mapping the control core is told of. A forwarder asks for none that it sees for the first
/// time: most of them have just begun, and are announced by whoever gets them. Fixed size; of two flows at one place the
/// later one takes it.
struct FlowQuestions: BitwiseCopyable {
    private struct Place: BitwiseCopyable {
        /// Lower half of the flow's hash.
        var tag: UInt32 = 0
        /// The wheel's tick (some 4 to 8 ms) from which on the flow may be asked for.
        var due: UInt32 = 0
    }

    private let places: UnsafeMutablePointer<Place>
    private var left = 0
    private var leftTick: UInt32 = 0

    static var placeCount: Int { 4_096 }
    /// Ticks from the first sight to the question, and from one question about a flow to the next.
    static var delayTicks: UInt32 { 2 }
    static var patienceTicks: UInt32 { 256 }
    /// In one tick, for all flows.
    static var perTick: Int { 16 }

    init() {
        places = .allocate(capacity: Self.placeCount)
        places.initialize(repeating: Place(), count: Self.placeCount)
    }

    /// True when this flow is to be asked for now.
    mutating func mayAsk(_ hash: UInt64, in tick: UInt32) -> Bool {
        let tag = UInt32(truncatingIfNeeded: hash)
        let place = places + Int(truncatingIfNeeded: hash &>> 32) & (Self.placeCount &- 1)
        guard place.pointee.tag == tag else {
            place.pointee = Place(tag: tag, due: tick &+ Self.delayTicks)
            return false
        }
        let late = Int32(bitPattern: tick &- place.pointee.due)
        guard late >= 0 else { return false }
        if tick != leftTick { (leftTick, left) = (tick, Self.perTick) }
        guard left > 0 else { return false }
        left &-= 1
        place.pointee.due = tick &+ Self.patienceTicks
        return true
    }
}
