import Wire

/// Segments of every layout: both families, tagged or not, with and without IP options, TCP options at all offsets, numbers
/// that are about to wrap.
struct RandomSegments {
    var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func chance(_ percent: Int) -> Bool { number(1...100) <= percent }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
    mutating func port() -> UInt16 { UInt16.random(in: 1...UInt16.max, using: &random) }

    /// Any number, and often one near the end of the circle.
    mutating func circular() -> UInt32 {
        switch number(0...3) {
        case 0: UInt32(number(0...2_000))
        case 1: UInt32.max - UInt32(number(0...2_000))
        default: UInt32.random(in: 0...UInt32.max, using: &random)
        }
    }

    mutating func address(isV6: Bool) -> [UInt8] {
        isV6 ? [0x20, 0x01, 0x0D, 0xB8] + bytes(12) : [10] + bytes(3)
    }

    mutating func segment(isV6: Bool? = nil) -> SegmentValue {
        let isV6 = isV6 ?? chance(50)
        var segment = SegmentValue(
            source: address(isV6: isV6), destination: address(isV6: isV6), sourcePort: port(), destinationPort: port(),
            sequence: circular(), acknowledgement: circular(), flags: flags(),
            window: chance(20) ? UInt16(number(0...3)) : UInt16(number(0...65_535)))
        if chance(40) { segment.vlan = UInt16(number(0...4_095)) }
        if chance(30) {
            // IPv4: NOPs; IPv6: destination options, padded.
            segment.networkOptions = isV6 ? [0, 0, 1, 4, 0, 0, 0, 0] : [UInt8](repeating: 1, count: 4 * number(1...10))
        }
        segment.options = options()
        segment.payload = bytes(chance(30) ? 0 : number(1...90))
        return segment
    }

    private mutating func flags() -> UInt8 {
        switch number(0...9) {
        case 0: 0x02
        case 1: 0x12
        case 2: 0x04
        case 3: 0x14
        case 4: 0x11
        default: chance(50) ? 0x10 : 0x18
        }
    }

    /// Up to 40 bytes, to whole words.
    private mutating func options() -> [OptionValue] {
        var options: [OptionValue] = []
        var room = 40
        if chance(20) { return chance(50) ? [] : [.noOperation, .noOperation, .timestamps(circular(), circular())] }
        for _ in 0..<number(1...4) {
            for _ in 0..<number(0...3) where room > 0 {
                options.append(.noOperation)
                room -= 1
            }
            let option = anyOption()
            guard option.bytes.count <= room else { continue }
            options.append(option)
            room -= option.bytes.count
        }
        let padding = room % 4
        if padding > 0, chance(50) {
            options.append(.end(bytes(padding - 1)))
        } else {
            for _ in 0..<padding { options.append(.noOperation) }
        }
        return options
    }

    private mutating func anyOption() -> OptionValue {
        switch number(0...7) {
        case 0...2: .timestamps(circular(), circular())
        case 3...5: .sack((0..<2 * number(1...4)).map { _ in circular() })
        case 6: .other(kind: 2, bytes(2))
        default: .other(kind: UInt8(number(20...253)), bytes(number(0...7)))
        }
    }

    /// Two handshakes that had little to do with each other.
    mutating func views() -> (client: Translation.View, server: Translation.View) {
        func view(_ random: inout RandomSegments) -> Translation.View {
            Translation.View(
                serverSequence: SequenceNumber(random.circular()), serverTimestamp: random.circular(),
                options: NegotiatedOptions(
                    clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: UInt8(random.number(0...14)),
                    serverWindowScale: UInt8(random.number(0...14)), windowScale: random.chance(75),
                    sack: random.chance(80), timestamps: random.chance(80)))
        }
        return (view(&self), view(&self))
    }
}

extension [UInt8] {
    /// A copy of exactly its size that `change` has worked on, given its layout.
    func changed(_ change: (UnsafeMutableRawPointer, PacketLayout) -> Bool) -> (isChanged: Bool, bytes: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: self)
        let start = copy.baseAddress!
        let isChanged = change(start, PacketLayout(of: UnsafeRawPointer(start), length: count))
        return (isChanged, [UInt8](copy))
    }
}
