// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Contracts that answer isValidSignature(bytes32,bytes) in every way but the right one. They read no
// arguments, so a fallback answers for it.

contract RevertingWallet {
    fallback() external {
        revert("not today");
    }
}

contract SilentlyRevertingWallet {
    fallback() external {
        revert();
    }
}

/// INVALID takes all the gas that the call has.
contract GasBurningWallet {
    fallback() external {
        assembly {
            invalid()
        }
    }
}

contract LoopingWallet {
    fallback() external {
        while (true) {}
    }
}

/// The magic value without the zeros that make it a word.
contract ShortWallet {
    fallback() external {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 4)
        }
    }
}

/// The magic value, and a word that is not zero after it.
contract DirtyWallet {
    fallback() external {
        assembly {
            mstore(0, or(shl(224, 0x1626ba7e), 1))
            return(0, 32)
        }
    }
}

contract SilentWallet {
    fallback() external {}
}

contract TrueWallet {
    fallback() external {
        assembly {
            mstore(0, 1)
            return(0, 32)
        }
    }
}

/// More than any answer needs: 2 MiB of zeros.
contract VerboseWallet {
    fallback() external {
        assembly {
            return(0, 2097152)
        }
    }
}

/// Accepts everything, but only when nobody sends, which is what a call without a sender looks like.
contract SimulationWallet {
    fallback() external {
        require(tx.origin == address(0) || msg.sender == address(0), "not a simulation");
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, 32)
        }
    }
}

/// Sends its caller to a URL for the answer (ERC-3668).
contract LookupWallet {
    error OffchainLookup(
        address sender,
        string[] urls,
        bytes callData,
        bytes4 callbackFunction,
        bytes extraData
    );

    string private url;

    constructor(string memory urlToAsk) {
        url = urlToAsk;
    }

    fallback() external {
        string[] memory urls = new string[](1);
        urls[0] = url;
        revert OffchainLookup(address(this), urls, "", 0x12345678, "");
    }
}
