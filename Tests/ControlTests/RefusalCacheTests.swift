import CRTP
import Control
import Testing

@Suite struct RefusalCacheTests {
    private func refusers(_ cache: RefusalCache, _ content: UInt64, _ now: UInt64) -> [Int] {
        let set = cache.refusers(of: content, now: now)
        return (0..<ProxySet.capacity).filter(set.contains)
    }

    @Test func aRefusalCountsForItsLifetime() {
        var cache = RefusalCache(capacity: 16, lifetimeMicroseconds: 1_000)
        cache.insert(3, refusing: 77, now: 5_000)
        cache.insert(200, refusing: 77, now: 5_500)
        #expect(refusers(cache, 77, 5_999) == [3, 200] && refusers(cache, 78, 5_999) == [])
        #expect(refusers(cache, 77, 6_000) == [])
        // Later is a new beginning.
        cache.insert(4, refusing: 77, now: 7_000)
        #expect(refusers(cache, 77, 7_999) == [4])
    }

    @Test func allIsForgottenWhenAnAgentStartsAnew() {
        var cache = RefusalCache(capacity: 16, lifetimeMicroseconds: 1_000)
        cache.insert(3, refusing: 77, now: 5_000)
        cache.clear()
        #expect(refusers(cache, 77, 5_000) == [])
        cache.insert(4, refusing: 77, now: 5_000)
        #expect(refusers(cache, 77, 5_000) == [4])
    }

    @Test func itsSizeIsFixedAndWhatIsThereIsTrue() {
        var cache = RefusalCache(capacity: 10, lifetimeMicroseconds: 1_000_000)
        for content in 1...1_000 as ClosedRange<UInt64> { cache.insert(Int(content % 255), refusing: content, now: 0) }
        let known = (1...1_000 as ClosedRange<UInt64>).filter { !refusers(cache, $0, 0).isEmpty }
        #expect(!known.isEmpty && known.count <= 16)
        for content in known { #expect(refusers(cache, content, 0) == [Int(content % 255)]) }
    }

    @Test func withoutALifetimeNothingIsRemembered() {
        var cache = RefusalCache(capacity: 16, lifetimeMicroseconds: 0)
        cache.insert(3, refusing: 77, now: 0)
        #expect(refusers(cache, 77, 0) == [])
    }
}
