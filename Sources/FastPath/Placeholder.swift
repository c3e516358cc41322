import CDPDKShim
public func tsc() -> UInt64 { shim_tsc() }
