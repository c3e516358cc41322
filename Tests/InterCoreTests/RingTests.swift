import InterCore
import Synchronization
import Testing

@Test func ringsAreBoundedAndInOrder() {
    let ring = Ring<UInt64>(capacity: 3, payloadCapacity: 4)
    #expect(ring.capacity == 4)
    for value in 0..<4 { #expect(ring.push(UInt64(value))) }
    #expect(!ring.push(9) && !ring.hasRoom(for: 1))
    #expect(ring.pop() == 0)
    #expect(ring.hasRoom(for: 1) && !ring.hasRoom(for: 2))
    for value in 1..<4 { #expect(ring.pop() == UInt64(value)) }
    #expect(ring.pop() == nil && !ring.hasMessage)
    // Payloads travel with their message and are cut at the capacity.
    [UInt8]([1, 2, 3, 4, 5, 6]).withUnsafeBytes { #expect(ring.push(7, payload: $0)) }
    #expect(ring.pop { message, payload in message == 7 && Array(payload) == [1, 2, 3, 4] } == true)
}

/// Two threads: nothing is lost, repeated or torn.
@Test func ringsCarryEverythingBetweenTwoThreads() async {
    let ring = Ring<SIMD4<UInt64>>(capacity: 8)
    let count: UInt64 = 200_000
    async let sum: UInt64 = Task.detached {
        var expected: UInt64 = 0
        var total: UInt64 = 0
        while expected < count {
            guard let message = ring.pop() else {
                await Task.yield()
                continue
            }
            #expect(message == SIMD4(repeating: expected))
            total &+= message[2]
            expected += 1
        }
        return total
    }.value
    var next: UInt64 = 0
    while next < count { if ring.push(SIMD4(repeating: next)) { next += 1 } else { await Task.yield() } }
    #expect(await sum == count * (count - 1) / 2)
}

@Test func aDoorbellSaysThatSomebodySleeps() {
    let bell = Doorbell(descriptor: -1)
    #expect(!bell.isSleeperWaiting)
    bell.prepareToSleep()
    #expect(bell.isSleeperWaiting)
    bell.awake()
    #expect(!bell.isSleeperWaiting)
}
