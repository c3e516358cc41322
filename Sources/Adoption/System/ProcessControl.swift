import Glibc

/// prctl(2), which is variadic in C and so not visible to Swift.
@discardableResult
func processControl(_ operation: CInt, _ first: UInt, _ second: UInt = 0) -> CInt {
    typealias Call = @convention(c) (CInt, UInt, UInt, UInt, UInt) -> CInt
    return unsafeBitCast(dlsym(nil, "prctl"), to: Call.self)(operation, first, second, 0, 0)
}
