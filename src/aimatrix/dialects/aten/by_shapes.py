"""PyTorch's operators that shapes alone determine: a family's own table is one line here."""

from __future__ import annotations

from aimatrix.dialects.rule import Rule, by_shapes

#: family by family, its operators as `rule.by_shapes` takes them
RULES: dict[str, Rule] = {
    **by_shapes(
        "linear_algebra",
        "cholesky linalg_cholesky=cholesky linalg_cholesky_ex=cholesky cholesky_inverse"
        " linalg_lu=lu linalg_lu_factor=lu linalg_lu_factor_ex=lu _lu_with_info=lu"
        " linalg_ldl_factor=ldl linalg_ldl_factor_ex=ldl qr linalg_qr=qr geqrf"
        " linalg_householder_product=householder_product orgqr=householder_product"
        " linalg_solve=solve linalg_solve_ex=solve _linalg_solve_ex=solve"
        " linalg_solve_triangular=triangular_solve triangular_solve=triangular_solve(A,self)"
        " cholesky_solve=cholesky_solve(input2,self) lu_solve=lu_solve(LU_data,self)"
        " linalg_lu_solve=lu_solve(LU,B) linalg_lstsq=lstsq inverse linalg_inv=inverse"
        " linalg_inv_ex=inverse det linalg_det=det _linalg_det=det logdet=det slogdet=det"
        " linalg_slogdet=det _linalg_slogdet=det pinverse linalg_pinv=pinverse linalg_eigh=eigh"
        " _linalg_eigh=eigh linalg_eigvalsh=eigvalsh linalg_eig=eig linalg_eigvals=eigvals"
        " _linalg_eigvals=eigvals svd linalg_svd=svd _linalg_svd=svd linalg_svdvals=svdvals"
        " linalg_matrix_rank=svdvals",
        reads="compute_v compute_uv full_matrices some mode",
    ),
}
